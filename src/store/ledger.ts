// A validator's book in one SQLite file: blocks with their results and certificates, clearings, and the present state.
// One transaction a block. Owns the file's tables; what stands in them is the ledger's.

import { canonicalText, type Json } from '../base/canonical.ts';
import type { Certificate } from '../consensus/engine.ts';
import type { Block, ClearingDocument, LedgerStore, RecordedRequest, Result, StateChange } from '../ledger/types.ts';
import type { Envelope } from '../protocol/envelope.ts';
import type { Header } from '../protocol/header.ts';
import type { Leaf } from '../protocol/replies.ts';
import type { RequestKind } from '../protocol/requests.ts';
import { openSqlite, withStoreErrors } from './sqlite.ts';

const MIGRATIONS = [
  `
  CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), header TEXT NOT NULL) STRICT;
  CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE blocks (height INTEGER PRIMARY KEY, header TEXT NOT NULL, certificate TEXT NOT NULL) STRICT;
  -- One row a leaf. subject: request id, gateway or feeder; party: whom it concerns; request: the envelope of a verdict.
  CREATE TABLE results (
    height INTEGER NOT NULL, place INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, interval INTEGER,
    party TEXT, salt TEXT NOT NULL, leaf TEXT NOT NULL, request TEXT,
    PRIMARY KEY (height, place)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX results_by_subject ON results (subject, kind, interval);
  CREATE INDEX requests_by_party ON results (party, height) WHERE request IS NOT NULL;
  CREATE TABLE clearings (
    feeder TEXT NOT NULL, interval INTEGER NOT NULL, height INTEGER NOT NULL, place INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (feeder, interval)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX clearings_by_height ON clearings (height, place);
  `,
];

interface ResultRow {
  readonly place: number;
  readonly salt: string;
  readonly leaf: string;
  readonly request: string | null;
}

export interface SqliteLedgerStore extends LedgerStore {
  close(): void;
}

/** Opens or makes the file (`:memory:` for a book that is not kept). Throws `store.*`. */
export function openLedgerStore(path: string, options: { readonly readonly?: boolean } = {}): SqliteLedgerStore {
  const db = openSqlite({ path, migrations: MIGRATIONS, ...options });
  const guard = <T>(work: () => T): T => withStoreErrors(path, work);
  const setHead = db.prepare(
    'INSERT INTO head (one, header) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET header = excluded.header',
  );
  const setState = db.prepare(
    'INSERT INTO state (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  );
  const dropState = db.prepare('DELETE FROM state WHERE key = ?');
  const addBlock = db.prepare('INSERT INTO blocks (height, header, certificate) VALUES (?, ?, ?)');
  const addResult = db.prepare(
    'INSERT INTO results (height, place, kind, subject, interval, party, salt, leaf, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const addClearing = db.prepare(
    'INSERT INTO clearings (feeder, interval, height, place, document) VALUES (?, ?, ?, ?, ?)',
  );
  const selectHead = db.prepare('SELECT header FROM head').pluck();
  const selectState = db.prepare('SELECT key, value FROM state').raw();
  const selectBlock = db.prepare('SELECT header, certificate FROM blocks WHERE height = ?');
  const selectHeaders = db
    .prepare('SELECT header FROM blocks WHERE height >= ? AND height < ? ORDER BY height')
    .pluck();
  const selectCertificate = db.prepare('SELECT certificate FROM blocks WHERE height = ?').pluck();
  const selectResults = db.prepare('SELECT place, salt, leaf, request FROM results WHERE height = ? ORDER BY place');
  const selectClearings = db.prepare('SELECT document FROM clearings WHERE height = ? ORDER BY place').pluck();
  const selectClearing = db.prepare('SELECT document FROM clearings WHERE feeder = ? AND interval = ?').pluck();
  const selectKeptFrom = db
    .prepare(
      `SELECT min(height) FROM blocks WHERE height > coalesce(
         (SELECT max(height) FROM blocks AS b
          WHERE height < (SELECT max(height) FROM blocks)
            AND NOT EXISTS (SELECT 1 FROM blocks AS above WHERE above.height = b.height + 1)), 0)`,
    )
    .pluck();
  const selectPlaces = db.prepare(
    'SELECT height, place AS "index" FROM results WHERE subject = ? AND kind = ? AND interval IS ? ORDER BY height, place',
  );
  const selectLeaves = db.prepare(
    'SELECT height, leaf FROM results WHERE subject = ? AND kind = ? AND interval >= ? AND interval < ? ORDER BY height, place',
  );
  const selectRequests = db.prepare(
    `SELECT height, subject, leaf, request FROM results
     WHERE party = ? AND request IS NOT NULL AND leaf ->> '$.verdict' = 'recorded' AND height >= ? AND height < ?
     ORDER BY height, place LIMIT ?`,
  );

  const append = db.transaction((block: Block, changes: Iterable<StateChange>) => {
    const { height } = block.header;
    addBlock.run(height, text(block.header), text(block.certificate));
    // Verdicts stand in the order of their requests, after the results of due operations.
    const dueResults = block.results.length - block.batch.requests.length;
    for (const [place, { leaf, salt }] of block.results.entries()) {
      const request = place < dueResults ? null : text(block.batch.requests[place - dueResults]);
      const { subject, interval, party } = placeOf(leaf);
      addResult.run(height, place, leaf.kind, subject, interval, party, salt, text(leaf), request);
    }
    for (const [place, document] of block.clearings.entries()) {
      addClearing.run(document.feeder, document.interval, height, place, text(document));
    }
    for (const [key, value] of changes) {
      if (value === null) dropState.run(key);
      else setState.run(key, value);
    }
    setHead.run(text(block.header));
  });

  const reset = db.transaction((header: Header, state: Iterable<readonly [string, string]>) => {
    for (const table of ['blocks', 'results', 'clearings']) {
      db.prepare(`DELETE FROM ${table} WHERE height > ?`).run(header.height);
    }
    db.exec('DELETE FROM state');
    for (const [key, value] of state) setState.run(key, value);
    setHead.run(text(header));
  });

  function block(height: number): Block | null {
    const row = selectBlock.get(height) as { header: string; certificate: string } | undefined;
    if (row === undefined) return null;
    const header = JSON.parse(row.header) as Header;
    const rows = selectResults.all(height) as ResultRow[];
    const results = rows.map(({ leaf, salt }): Result => ({ leaf: JSON.parse(leaf) as Leaf, salt }));
    const requests = rows.flatMap(({ request }) => (request === null ? [] : [JSON.parse(request) as Envelope]));
    const clearings = (selectClearings.all(height) as string[]).map(
      (document) => JSON.parse(document) as ClearingDocument,
    );
    const certificate = JSON.parse(row.certificate) as Certificate;
    return { batch: { requests, timeMs: header.timeMs }, certificate, clearings, header, results };
  }

  return {
    head: () =>
      guard(() => {
        const header = selectHead.get() as string | undefined;
        return header === undefined ? null : (JSON.parse(header) as Header);
      }),
    state: () => guard(() => selectState.all() as [string, string][]),
    append: (added, changes) => guard(() => append.immediate(added, changes)),
    reset: (header, state) => guard(() => reset.immediate(header, state)),
    block: (height) => guard(() => block(height)),
    headers: (fromHeight, toHeight) =>
      guard(() => (selectHeaders.all(fromHeight, toHeight) as string[]).map((header) => JSON.parse(header) as Header)),
    certificate: (height) =>
      guard(() => {
        const certificate = selectCertificate.get(height) as string | undefined;
        return certificate === undefined ? null : (JSON.parse(certificate) as Certificate);
      }),
    resultPlaces: (kind, subject, interval) =>
      guard(() => selectPlaces.all(subject, kind, interval) as { height: number; index: number }[]),
    leavesOf: (kind, subject, fromInterval, untilInterval) =>
      guard(() => {
        const rows = selectLeaves.all(subject, kind, fromInterval, untilInterval) as { height: number; leaf: string }[];
        return rows.map(({ height, leaf }) => ({ height, leaf: JSON.parse(leaf) as Leaf }));
      }),
    requestsOf: (signer, fromHeight, toHeight, limit) =>
      guard(() => {
        type Row = { height: number; subject: string; leaf: string; request: string };
        return (selectRequests.all(signer, fromHeight, toHeight, limit) as Row[]).map((row): RecordedRequest => {
          const leaf = JSON.parse(row.leaf) as Extract<Leaf, { kind: 'verdict' }>;
          const request = JSON.parse(row.request) as Envelope;
          return { height: row.height, id: row.subject, kind: leaf.requestKind as RequestKind, request };
        });
      }),
    clearing: (feeder, interval) =>
      guard(() => {
        const document = selectClearing.get(feeder, interval) as string | undefined;
        return document === undefined ? null : (JSON.parse(document) as ClearingDocument);
      }),
    keptFrom: () => guard(() => selectKeptFrom.get() as number | null),
    close: () => db.close(),
  };
}

/** Under what a leaf is found again. */
function placeOf(leaf: Leaf): { subject: string; interval: number | null; party: string | null } {
  switch (leaf.kind) {
    case 'verdict':
      return { subject: leaf.request, interval: null, party: leaf.signer };
    case 'notice':
    case 'settlement':
      return { subject: leaf.gateway, interval: leaf.interval, party: leaf.gateway };
    case 'clearing':
      return { subject: leaf.feeder, interval: leaf.interval, party: null };
    default:
      return leaf satisfies never;
  }
}

function text(value: unknown): string {
  return canonicalText(value as Json);
}
