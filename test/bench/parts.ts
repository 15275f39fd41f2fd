// Which parts of a benchmark are asked for.

/** Arguments that a benchmark does not take. */
export class UsageError extends Error {}

/** Those named, all if none is. Throws UsageError on a name that is none of them. */
export function partsOf<Part extends string>(parts: readonly Part[], named: readonly string[]): Set<Part> {
  const isPart = (name: string): name is Part => (parts as readonly string[]).includes(name);
  const strange = named.find((name) => !isPart(name));
  if (strange !== undefined) throw new UsageError(`there is no part ${strange}; parts: ${parts.join(', ')}`);
  return new Set(named.length === 0 ? parts : named.filter(isPart));
}
