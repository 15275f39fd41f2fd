// What the doors that take something have in common: a bearer token, a body with an end, and patience with wrong tokens that ends.

import type { IncomingMessage } from 'node:http';
import type { Millis } from '../base/units.ts';

/** Wrong tokens an address may try a minute before it has to wait. */
export const WRONG_TOKENS_MAX = 10;
const WRONG_TOKENS_WINDOW_MS: Millis = 60_000;
/** Addresses remembered for that; beyond, the oldest is forgotten. */
const ADDRESSES_MAX = 1_000;

/** The bearer token of a request, or null. */
export function tokenOf(request: IncomingMessage): string | null {
  return /^Bearer ([\w-]{1,128})$/.exec(request.headers.authorization ?? '')?.[1] ?? null;
}

/** The whole body, or null if it is over the limit. */
export async function bodyOf(request: IncomingMessage, bytesMax: number): Promise<Uint8Array | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytesMax) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Counts wrong tokens by address. */
export class WrongTokens {
  readonly #monotonicMs: () => Millis;
  readonly #byAddress = new Map<string, { count: number; sinceMs: Millis }>();

  constructor(monotonicMs: () => Millis) {
    this.#monotonicMs = monotonicMs;
  }

  tooMany(address: string): boolean {
    const known = this.#byAddress.get(address);
    if (known === undefined) return false;
    if (this.#monotonicMs() - known.sinceMs < WRONG_TOKENS_WINDOW_MS) return known.count >= WRONG_TOKENS_MAX;
    this.#byAddress.delete(address);
    return false;
  }

  add(address: string): void {
    const known = this.#byAddress.get(address) ?? { count: 0, sinceMs: this.#monotonicMs() };
    known.count += 1;
    this.#byAddress.set(address, known);
    if (this.#byAddress.size > ADDRESSES_MAX) this.#byAddress.delete(this.#byAddress.keys().next().value as string);
  }
}
