// The gateway's small HTTP door for customers: POST /demand with a bearer token of the site. Nothing else is served here.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { describeError, isWattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { STATED_DEMAND_BYTES_MAX } from '../messaging/access.ts';
import { listenOn } from './page.ts';

/** Wrong tokens an address may try a minute before it has to wait. */
export const WRONG_TOKENS_MAX = 10;
const WRONG_TOKENS_WINDOW_MS = 60_000;
/** Addresses remembered for that; beyond, the oldest is forgotten. */
const ADDRESSES_MAX = 1_000;

export interface DemandDoorOptions {
  readonly host: string;
  readonly port: number;
  /** The customer a token belongs to, or null. */
  readonly holderOf: (token: string) => string | null;
  /** Takes a statement (the same bytes as over MQTT), durably; throws `demand.*` if it cannot be used. Returns how many intervals it states. */
  readonly accept: (customer: string, payload: Uint8Array) => number;
  readonly monotonicMs: () => number;
  readonly log: Log;
}

export interface DemandDoor {
  readonly url: string;
  close(): Promise<void>;
}

export async function createDemandDoor(options: DemandDoorOptions): Promise<DemandDoor> {
  const { host, port, log } = options;
  const wrong = new WrongTokens(options.monotonicMs);
  const server = createServer((request, response) => {
    handle(request, options, wrong).then(
      ([status, body]) => answer(response, status, body),
      (error: unknown) => {
        log.error({ reason: describeError(error) }, 'demand: failed');
        answer(response, 500, { error: 'the statement could not be kept' });
      },
    );
  });
  server.headersTimeout = 5_000;
  server.requestTimeout = 10_000;
  server.maxConnections = 64;
  const url = `http://${host}:${await listenOn(server, host, port, 'demand door')}`;
  log.info({ url }, 'demand door: listening');
  return {
    url,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function handle(
  request: IncomingMessage,
  { holderOf, accept, log }: DemandDoorOptions,
  wrong: WrongTokens,
): Promise<[status: number, body: object]> {
  if (request.url !== '/demand') return [404, { error: 'only POST /demand is served here' }];
  if (request.method !== 'POST') return [405, { error: 'only POST' }];
  const address = request.socket.remoteAddress ?? '';
  if (wrong.tooMany(address)) return [429, { error: 'too many wrong tokens: wait a minute' }];
  const token = /^Bearer ([\w-]{1,128})$/.exec(request.headers.authorization ?? '')?.[1];
  const customer = token === undefined ? null : holderOf(token);
  if (customer === null) {
    wrong.add(address);
    log.warn({ address }, 'demand: no such token');
    return [401, { error: 'no customer of this site has this token' }];
  }
  const payload = await bodyOf(request);
  if (payload === null) return [413, { error: `a statement has at most ${STATED_DEMAND_BYTES_MAX} bytes` }];
  try {
    return [202, { customer, intervals: accept(customer, payload) }];
  } catch (error) {
    if (isWattpactError(error) && error.code.startsWith('demand.')) return [422, { error: describeError(error) }];
    throw error;
  }
}

/** The whole body, or null if it is over the limit. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > STATED_DEMAND_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

class WrongTokens {
  readonly #monotonicMs: () => number;
  readonly #byAddress = new Map<string, { count: number; sinceMs: number }>();

  constructor(monotonicMs: () => number) {
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

function answer(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  const headers = {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  };
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(text), Connection: 'close' });
  response.end(text);
}
