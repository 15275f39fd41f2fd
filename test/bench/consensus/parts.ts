// The parts a request is made of, each measured alone: a hop over the broker, a write that is on disk, a signature.

import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';
import { fromBase64url } from '../../../src/base/bytes.ts';
import { newKey } from '../../../src/keys/files.ts';
import { fastVerify } from '../../../src/keys/verify.ts';
import { openSqlite } from '../../../src/store/sqlite.ts';

const ROUNDS = 300;
/** Signatures are timed so many at once, so often. */
const CRYPTO_EACH = 100;
const CRYPTO_ROUNDS = 41;
/** Bytes of a vote, about. */
const BYTES = 500;

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Publisher to subscriber over an embedded broker, QoS 1; median ms. */
export async function hopMs(): Promise<number> {
  const aedes = await Aedes.createBroker();
  const server = createServer((socket) => aedes.handle(socket));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [a, b] = await Promise.all([mqtt.connectAsync(url), mqtt.connectAsync(url)]);
  await b.subscribeAsync('hop', { qos: 1 });
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const sinceMs = performance.now();
    const heard = new Promise<void>((done) => b.once('message', () => done()));
    a.publish('hop', Buffer.alloc(BYTES, i), { qos: 1 });
    await heard;
    times.push(performance.now() - sinceMs);
  }
  await Promise.all([a.endAsync(true), b.endAsync(true)]);
  await new Promise<void>((done) => aedes.close(() => done()));
  server.close();
  return median(times);
}

/** One transaction of one row, synchronous=FULL, on the disk of the ledgers; median ms. */
export function writeMs(folder: string): number {
  const db = openSqlite({ path: join(folder, 'write.sqlite'), migrations: ['CREATE TABLE t (b BLOB)'] });
  const insert = db.prepare('INSERT INTO t VALUES (?)');
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const sinceMs = performance.now();
    insert.run(Buffer.alloc(BYTES, i));
    times.push(performance.now() - sinceMs);
  }
  db.close();
  return median(times);
}

/** Cost of one signature made and one checked, ms: the median of rounds. */
export function cryptoMs(): { readonly signMs: number; readonly verifyMs: number } {
  const key = newKey();
  const publicKey = fromBase64url(key.publicKey);
  const message = new Uint8Array(BYTES);
  const signature = key.sign(message);
  const costMs = (work: () => unknown): number => {
    const rounds = Array.from({ length: CRYPTO_ROUNDS }, () => {
      const sinceMs = performance.now();
      for (let i = 0; i < CRYPTO_EACH; i++) work();
      return (performance.now() - sinceMs) / CRYPTO_EACH;
    });
    return median(rounds);
  };
  return { signMs: costMs(() => key.sign(message)), verifyMs: costMs(() => fastVerify(signature, message, publicKey)) };
}
