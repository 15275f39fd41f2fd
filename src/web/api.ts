// The open API of a validator: HTTP, read only. Owns the server, its limits and its answers' form; the routes are api-routes.ts, who asks is
// api-asker.ts.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { describeError, isWattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Pace } from '../base/pace.ts';
import { shortened, wordsOf } from '../base/words.ts';
import { type Changes, createChanges } from '../ledger/succession.ts';
import type { Ledger } from '../ledger/types.ts';
import type { Sign, Verify } from '../protocol/envelope.ts';
import { type Askers, createAskers } from './api-asker.ts';
import { apiDocument, namesIn } from './api-document.ts';
import { PARAMETERS, type ParameterName, type Parameters, ROUTES, type Route, type Sources } from './api-routes.ts';
import { answerNoRequests, closeServer, listenOn } from './listening.ts';

/** Open connections, altogether and of one address. */
const CONNECTIONS_MAX = 256;
const CONNECTIONS_OF_ADDRESS_MAX = 16;
/** What one address may ask for; a route says what it costs. */
const ADDRESS_LIMITS = { burst: 200, perS: 40, knownMax: 10_000 };
/** Head of a request, bytes; a signed query has about 800. */
const HEAD_BYTES_MAX = 8 * 1024;
/** Longest target (path and question). */
const TARGET_MAX = 1_024;
/** Largest answer, bytes; more is read from the book itself. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
/** Time for the head of a request, the whole of it, and for reading the answer, ms. */
const HEAD_MS_MAX = 5_000;
const REQUEST_MS_MAX = 10_000;
const ANSWER_MS_MAX = 30_000;
const IDLE_MS_MAX = 5_000;
/** How often connections are looked at for the first two, ms. */
const LOOK_MS = 1_000;
/** Requests on one connection. */
const REQUESTS_OF_CONNECTION_MAX = 1_000;

export interface ApiOptions {
  readonly host: string;
  readonly port: number;
  /** This validator's id, ledger, and the key it attests with. */
  readonly self: string;
  readonly ledger: Ledger;
  readonly sign: Sign;
  readonly verify: Verify;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Api {
  readonly url: string;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Throws `open API.port` if the address cannot be had. */
export async function createApi(options: ApiOptions): Promise<Api> {
  const { host, port, ledger, clock, log } = options;
  const askers = createAskers({ self: options.self, ledger, verify: options.verify, clock });
  const pace = new Pace(ADDRESS_LIMITS, () => clock.monotonicMs());
  const document = apiDocument();
  const changes = createChanges(ledger);

  const server = createServer(
    { maxHeaderSize: HEAD_BYTES_MAX, keepAliveTimeout: IDLE_MS_MAX, connectionsCheckingInterval: LOOK_MS },
    (request, response) => {
      const late = setTimeout(() => response.destroy(), ANSWER_MS_MAX);
      response.once('close', () => clearTimeout(late));
      let made: Answer;
      try {
        made = answer(request, options, { askers, pace, document, changes });
      } catch (error) {
        log.error({ target: request.url, error: describeError(error) }, 'open API: failed');
        made = refused(500, 'the book could not be read');
      }
      send(request, response, made);
    },
  );
  server.headersTimeout = HEAD_MS_MAX;
  server.requestTimeout = REQUEST_MS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  server.maxRequestsPerSocket = REQUESTS_OF_CONNECTION_MAX;
  limitByAddress(server);
  answerNoRequests(server);
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${await listenOn(server, host, port, 'open API')}`;
  log.info({ url }, 'open API: listening');
  return {
    url,
    close: () => closeServer(server),
  };
}

function limitByAddress(server: ReturnType<typeof createServer>): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const address = networkOf(socket.remoteAddress);
    const count = (open.get(address) ?? 0) + 1;
    if (count > CONNECTIONS_OF_ADDRESS_MAX) {
      socket.destroy();
      return;
    }
    open.set(address, count);
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    });
  });
}

/** Who has one address of IPv6 has its /64. */
export function networkOf(address: string | undefined): string {
  const plain = (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('%')[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill('0');
  return [...groups, ...zeros, ...rest].slice(0, 4).join(':');
}

function answer(
  request: IncomingMessage,
  options: ApiOptions,
  { askers, pace, document, changes }: { askers: Askers; pace: Pace; document: string; changes: Changes },
): Answer {
  const target = request.url ?? '';
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { ...refused(405, 'this API is read only'), headers: { Allow: 'GET, HEAD', Connection: 'close' } };
  }
  if (Number(request.headers['content-length'] ?? 0) !== 0 || request.headers['transfer-encoding'] !== undefined) {
    return { ...refused(413, 'a question has no body'), headers: { Connection: 'close' } };
  }
  if (target.length > TARGET_MAX) return refused(414, `a target has at most ${TARGET_MAX} characters`);
  const address = networkOf(request.socket.remoteAddress);
  const asked = routeOf(target);
  const cost = asked?.route.cost ?? 1;
  const waitS = pace.take(address, cost);
  if (waitS > 0) return tooOften('this address asks too often', waitS);
  const asker = askers.judge(request.headers.authorization, target, cost);
  if ('error' in asker) {
    if (asker.status !== 401) return tooOften(asker.error, asker.waitS ?? 1, asker.status);
    return {
      status: 401,
      body: JSON.stringify({ error: asker.error, timeMs: options.clock.chainMs() }),
      headers: { 'WWW-Authenticate': 'Wattpact' },
    };
  }
  if (asked === null) return refused(404, 'there is no such route: see /v1/openapi.json');
  if ('problem' in asked) return refused(400, asked.problem);
  if (asked.route.answer === 'OpenApi') return { status: 200, body: document };
  return find(asked.route, asked.parameters, asker.party, options, changes);
}

/** The answer of a route to somebody; what he may not see is refused before it is looked for. */
function find(
  route: Route,
  parameters: Parameters,
  party: string | null,
  options: ApiOptions,
  changes: Changes,
): Answer {
  const { self, ledger, sign } = options;
  const subject = route.about(parameters);
  const may =
    subject === 'validators' ? party !== null && ledger.validators().has(party) : ledger.maySee(party, subject);
  if (!may) {
    return refused(403, party === null ? 'this takes a signed query' : `${party} may not see this`);
  }
  const sources: Sources = { self, ledger, sign, changes };
  try {
    const found = route.find(sources, parameters, party);
    if (found === null) return refused(404, 'there is no such thing in this book');
    const body = JSON.stringify(found);
    if (body.length > ANSWER_BYTES_MAX) return refused(413, 'too large for an answer: read it from a book');
    return { status: 200, body };
  } catch (error) {
    if (isWattpactError(error) && error.code === 'ledger.proof') return refused(409, describeError(error));
    throw error;
  }
}

type Asked =
  | { readonly route: Route; readonly parameters: Parameters }
  | { readonly route: Route; readonly problem: string };

const PATTERNS = ROUTES.map((route) => ({
  route,
  names: namesIn(route.path),
  pattern: new RegExp(`^${route.path.replace(/\./g, '\\.').replace(/\{\w+\}/g, '([^/]+)')}$`),
}));

/** The route that a target means and its parameters, what is wrong with them, or null if there is none. */
function routeOf(target: string): Asked | null {
  const mark = target.indexOf('?');
  const [path, question] = mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)];
  for (const { route, names, pattern } of PATTERNS) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const given = new Map<string, unknown>(names.map((name, i) => [name, readAs(name, match[i + 1] as string)]));
    for (const [name, text] of new URLSearchParams(question)) {
      if (!route.question.some((known) => known === name)) {
        const known = route.question.length === 0 ? 'there is none' : `there is ${route.question.join(', ')}`;
        return { route, problem: `${shortened(name)} is no parameter here: ${known}` };
      }
      if (given.has(name)) return { route, problem: `${name} is given twice: which one is meant?` };
      given.set(name, readAs(name, text));
    }
    const wanted = [...names, ...route.question];
    const schema = z.object(Object.fromEntries(wanted.map((name) => [name, PARAMETERS[name]])));
    for (const [name, value] of given) {
      if (NUMBERS.includes(name) && typeof value === 'string') {
        return { route, problem: `${name} must be a whole number such as 42, not "${shortened(value)}"` };
      }
    }
    const values = Object.fromEntries(given);
    const parsed = schema.safeParse(values);
    if (parsed.success) {
      const parameters = parsed.data as unknown as Parameters;
      const { from = 0, until = Infinity } = parameters;
      if (until <= from) return { route, problem: `until must be above from (${from}), not ${until}` };
      return { route, parameters };
    }
    return { route, problem: wordsOf(parsed.error, values) };
  }
  return null;
}

const NUMBERS: readonly string[] = ['height', 'interval', 'from', 'until', 'limit'] satisfies ParameterName[];

/** Ids may look like numbers: only what is one is read as one. What is no plain number is left for the schema to refuse. */
function readAs(name: string, text: string): string | number {
  return NUMBERS.includes(name) && /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : text;
}

function refused(status: number, error: string): Answer {
  return { status, body: JSON.stringify({ error }) };
}

function tooOften(error: string, waitS: number, status = 429): Answer {
  return { ...refused(status, error), headers: { 'Retry-After': String(waitS) } };
}

/** What is for everybody may be read by pages of any origin; an answer to a signed query is for its asker alone. */
function send(request: IncomingMessage, response: ServerResponse, { status, body, headers }: Answer): void {
  const isPublic = request.headers.authorization === undefined;
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    Vary: 'Authorization',
    ...(isPublic ? { 'Access-Control-Allow-Origin': '*' } : {}),
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
