// Customers of a site and the tokens they state their demand with, over MQTT (as password) or HTTP (as bearer).
// A token is 256 random bits, so its plain SHA-256 is kept: nothing to guess, nothing to steal from the file.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Guard, Sqlite } from './sqlite.ts';

const TOKEN_BYTES = 32;

export interface CustomerStore {
  /** Makes a new token for a customer; the one before is void. Shown once, never again. */
  issue(customer: string): string;
  revoke(customer: string): void;
  isToken(customer: string, token: string): boolean;
  /** The customer a token belongs to, or null. */
  holderOf(token: string): string | null;
  all(): readonly string[];
}

export function customerStore(db: Sqlite, guard: Guard): CustomerStore {
  const save = db.prepare('INSERT OR REPLACE INTO customers (id, token_hash) VALUES (?, ?)');
  const remove = db.prepare('DELETE FROM customers WHERE id = ?');
  const rows = db.prepare<[], { id: string; token_hash: Buffer }>('SELECT id, token_hash FROM customers ORDER BY id');

  const holderOf = (token: string): string | null => {
    const hash = hashOf(token);
    const holder = guard(() => rows.all()).find((row) => timingSafeEqual(row.token_hash, hash));
    return holder?.id ?? null;
  };
  return {
    issue: (customer) => {
      const token = randomBytes(TOKEN_BYTES).toString('base64url');
      guard(() => save.run(customer, hashOf(token)));
      return token;
    },
    revoke: (customer) => {
      guard(() => remove.run(customer));
    },
    isToken: (customer, token) => holderOf(token) === customer,
    holderOf,
    all: () => guard(() => rows.all()).map(({ id }) => id),
  };
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
