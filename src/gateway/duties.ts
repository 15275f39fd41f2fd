// The duties of one turn of a gateway's loop, one after the other. Owns that none of them keeps the next from being done: a site is driven within
// its limits also while nothing can be traded.

/** Runs each in turn; what fails is told. True if all went well. */
export async function doAll(
  duties: readonly (readonly [name: string, duty: () => unknown])[],
  onFailure: (name: string, error: unknown) => void,
): Promise<boolean> {
  let isWell = true;
  for (const [name, duty] of duties) {
    try {
      await duty();
    } catch (error) {
      isWell = false;
      onFailure(name, error);
    }
  }
  return isWell;
}
