export function plant(_name: string): void {}
export async function huntMutants(_seeds: number, _say: (line: string) => void, _json: boolean): Promise<boolean> {
  return false;
}
