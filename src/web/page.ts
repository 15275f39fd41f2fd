// The page on loopback: serves its few files and pushes snapshots to whoever watches. Owns HTTP; what is shown comes in as
// plain data (state.ts), how it looks is assets/.

import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { describeError, isWattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import { bodyOf, tokenOf, WrongTokens } from './bearer.ts';
import { closeServer, listenOn } from './listening.ts';
import type { PageState } from './state.ts';

/** Watchers at one time; beyond, a browser is told to come back later. */
export const WATCHERS_MAX = 16;
/** A snapshot is pushed this often, and `refresh` pushes no faster than the shorter of the two. */
const PUSH_EVERY_MS: Millis = 1_000;
const PUSH_AT_LEAST_MS: Millis = 200;
/** A watcher that has so much unread is dropped. */
const BACKLOG_BYTES_MAX = 4 * 1024 * 1024;

const ASSETS: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  '/': { file: 'page.html', type: 'text/html; charset=utf-8' },
  '/icon.svg': { file: 'icon.svg', type: 'image/svg+xml' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
  '/owner.js': { file: 'owner.js', type: 'text/javascript; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
};

const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
};

/** Largest thing that the page takes. */
const ACTION_BYTES_MAX = 1_024;

/**
 * What may be done from the page, and by whom: whoever holds the owner's token. The token comes by the address's fragment
 * (`#token=...`, which no browser sends) or is typed in; without it the page only shows.
 */
export interface PageOwner {
  readonly isOwner: (token: string) => boolean;
  /** Takes an override for a site's gateway (gateway/overrides.ts); throws `override.*` if it cannot be used. */
  readonly override: (site: string, payload: Uint8Array) => void;
  readonly monotonicMs: () => Millis;
}

export interface PageOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly snapshot: () => PageState;
  /** Absent: nothing can be done from this page. */
  readonly owner?: PageOwner;
  readonly log: Log;
}

export interface Page {
  readonly url: string;
  /** Something worth seeing has happened: pushes soon, not only at the next second. */
  refresh(): void;
  close(): Promise<void>;
}

/** Starts the page; throws `page.port` if the address cannot be had. */
export async function createPage({ host, port, snapshot, owner, log }: PageOptions): Promise<Page> {
  const watchers = new Set<ServerResponse>();
  let soon: NodeJS.Timeout | null = null;

  const push = (): void => {
    if (watchers.size === 0) return;
    const event = eventOf(snapshot());
    for (const watcher of watchers) {
      if (watcher.writableLength > BACKLOG_BYTES_MAX) watcher.destroy();
      else watcher.write(event);
    }
  };
  const watch = (request: IncomingMessage, response: ServerResponse): void => {
    if (watchers.size >= WATCHERS_MAX) return answer(response, 503, `${WATCHERS_MAX} pages are open already`);
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream' });
    watchers.add(response);
    request.on('close', () => watchers.delete(response));
    response.write(eventOf(snapshot()));
  };
  const act = owner === undefined ? null : actions(owner, log);
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0] as string;
    if (!isLoopbackHost(request.headers.host)) return answer(response, 421, 'open this page by its loopback address');
    if (path === '/override' && request.method === 'POST' && act !== null) {
      void act(request).then(([status, text]) => answer(response, status, text));
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'only GET');
    if (path === '/events' && request.method === 'GET') return watch(request, response);
    if (path === '/state') return answer(response, 200, JSON.stringify(snapshot()), 'application/json; charset=utf-8');
    const asset = Object.hasOwn(ASSETS, path) ? ASSETS[path] : undefined;
    if (asset === undefined) return answer(response, 404, 'nothing here');
    answer(response, 200, readFileSync(new URL(`assets/${asset.file}`, import.meta.url)), asset.type);
  });
  server.headersTimeout = 5_000;
  server.requestTimeout = 10_000;
  server.maxConnections = 4 * WATCHERS_MAX;
  const ticking = setInterval(push, PUSH_EVERY_MS);
  const url = `http://${host}:${await listenOn(server, host, port, 'page')}`;
  log.info({ url }, 'page: listening');

  return {
    url,
    refresh: () => {
      soon ??= setTimeout(() => {
        soon = null;
        push();
      }, PUSH_AT_LEAST_MS);
    },
    close: async () => {
      clearInterval(ticking);
      if (soon !== null) clearTimeout(soon);
      await closeServer(server);
    },
  };
}

/** POST /override?site=ID: an override in JSON, by who has the owner's token. Says in words what became of it. */
function actions(owner: PageOwner, log: Log): (request: IncomingMessage) => Promise<[status: number, text: string]> {
  const wrong = new WrongTokens(owner.monotonicMs);
  return async (request) => {
    const { origin, host } = request.headers;
    const address = request.socket.remoteAddress ?? '';
    // Another site's page can send here, though it cannot read: it has no token, and this is said before any is looked at.
    if (origin !== undefined && origin !== `http://${host}`) return [403, 'only from this page'];
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) return [415, 'JSON is wanted'];
    if (wrong.tooMany(address)) return [429, 'too many wrong tokens: wait a minute'];
    const token = tokenOf(request);
    if (token === null || !owner.isOwner(token)) {
      wrong.add(address);
      return [401, "this is not the owner's token"];
    }
    const site = new URL(request.url ?? '/', 'http://page').searchParams.get('site') ?? '';
    try {
      const payload = await bodyOf(request, ACTION_BYTES_MAX);
      if (payload === null) return [413, `at most ${ACTION_BYTES_MAX} bytes`];
      owner.override(site, payload);
      return [202, 'taken'];
    } catch (error) {
      if (isWattpactError(error) && error.code.startsWith('override.')) return [422, describeError(error)];
      log.error({ reason: describeError(error) }, 'page: failed');
      return [500, 'it could not be kept'];
    }
  };
}

function eventOf(state: PageState): string {
  return `data: ${JSON.stringify(state)}\n\n`;
}

/** A name that a hostile site points at 127.0.0.1 is not ours: its pages must not read this one. */
function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host);
}

function answer(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { ...HEADERS, 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
