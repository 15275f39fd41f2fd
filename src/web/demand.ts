// The gateway's small HTTP door for customers: POST /demand with a bearer token of the site. Nothing else is served here.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { describeError, isWattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { STATED_DEMAND_BYTES_MAX } from '../messaging/access.ts';
import { bodyOf, tokenOf, WrongTokens } from './bearer.ts';
import { answerNoRequests, closeServer, listenOn } from './listening.ts';

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
  answerNoRequests(server);
  const url = `http://${host}:${await listenOn(server, host, port, 'demand door')}`;
  log.info({ url }, 'demand door: listening');
  return {
    url,
    close: () => closeServer(server),
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
  const token = tokenOf(request);
  const customer = token === null ? null : holderOf(token);
  if (customer === null) {
    wrong.add(address);
    log.warn({ address }, 'demand: no such token');
    return [401, { error: 'no customer of this site has this token' }];
  }
  const payload = await bodyOf(request, STATED_DEMAND_BYTES_MAX);
  if (payload === null) return [413, { error: `a statement has at most ${STATED_DEMAND_BYTES_MAX} bytes` }];
  try {
    return [202, { customer, intervals: accept(customer, payload) }];
  } catch (error) {
    if (isWattpactError(error) && error.code.startsWith('demand.')) return [422, { error: describeError(error) }];
    throw error;
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
