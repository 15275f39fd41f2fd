// A gateway's one SQLite file: what it asked for, what it must still send, what it wrote to devices, what it measured and
// what it believes of the chain. Owns the tables and their limits; decides nothing. Every write is durable when the call returns.

import { WattpactError } from '../base/errors.ts';
import type { Millis, WattHours } from '../base/units.ts';
import { afterRestart, isDecided, type RequestLife } from '../contract/life.ts';
import type { LeaseRecord, LeaseStore } from '../fieldbus/types.ts';
import type { Outbox } from '../messaging/outbox.ts';
import { type Header, headerSchema } from '../protocol/header.ts';
import { type CustomerStore, customerStore } from './customers.ts';
import { outboxStore } from './outbox.ts';
import { type Guard, openSqlite, type Sqlite, withStoreErrors } from './sqlite.ts';
import { WEATHER_TABLE, type WeatherStore, weatherStore } from './weather.ts';

/** Longer than the 30 days in which a delivery can be corrected. */
export const REQUESTS_KEPT_MS: Millis = 40 * 24 * 3_600_000;
/** A year and a month: a forecaster sees the same season once more. */
export const ENERGIES_KEPT_MS: Millis = 400 * 24 * 3_600_000;
/** Writes to registers that wear are counted by the day. */
const COUNTED_WRITES_KEPT_MS: Millis = 2 * 24 * 3_600_000;
/** Undecided requests at one time; beyond it something is badly wrong and nothing new is signed. */
export const UNDECIDED_MAX = 1_000;

const MIGRATIONS = [
  `
  CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    interval INTEGER,
    sequence INTEGER NOT NULL UNIQUE,
    bytes BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    decided INTEGER NOT NULL,
    life TEXT NOT NULL
  ) STRICT;
  CREATE INDEX requests_by_interval ON requests (interval);
  CREATE INDEX requests_undecided ON requests (sequence) WHERE decided = 0;
  CREATE TABLE outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL
  ) STRICT;
  CREATE TABLE outbox_acknowledged (
    id TEXT NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    broker TEXT NOT NULL,
    PRIMARY KEY (id, broker)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE leases (
    device TEXT NOT NULL,
    control TEXT NOT NULL,
    value REAL NOT NULL,
    revert_to REAL NOT NULL,
    until_ms REAL NOT NULL,
    PRIMARY KEY (device, control)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE energies (
    subject TEXT NOT NULL,
    quantity TEXT NOT NULL,
    interval INTEGER NOT NULL,
    energy_wh REAL,
    uncertainty_wh REAL NOT NULL,
    quality TEXT NOT NULL,
    curtailed INTEGER NOT NULL,
    PRIMARY KEY (subject, quantity, interval)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX energies_by_interval ON energies (interval);
  CREATE TABLE outcomes (
    interval INTEGER NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (interval, kind)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE demands (
    customer TEXT NOT NULL,
    interval INTEGER NOT NULL,
    energy_wh INTEGER NOT NULL,
    stated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (customer, interval)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE customers (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE counted_writes (
    device TEXT NOT NULL,
    control TEXT NOT NULL,
    at_ms REAL NOT NULL
  ) STRICT;
  `,
  WEATHER_TABLE,
];

export interface NewRequest {
  readonly id: string;
  readonly kind: string;
  /** Interval it speaks of; null for requests without one. */
  readonly interval: number | null;
  /** Canonical envelope, exactly as it is sent. */
  readonly bytes: Uint8Array;
  /** Chain time. */
  readonly createdAtMs: Millis;
  readonly life: RequestLife;
}
export interface StoredRequest extends NewRequest {
  readonly sequence: number;
}

export interface RequestStore {
  /**
   * Takes the next sequence, lets `build` sign with it and keeps the result: all or nothing, so a sequence is never used
   * twice and never skipped. Throws `store.undecided` when too many requests wait.
   */
  create(build: (sequence: number) => NewRequest): StoredRequest;
  get(id: string): StoredRequest | null;
  /** By sequence; due to be sent at once. */
  undecided(): readonly StoredRequest[];
  of(interval: number): readonly StoredRequest[];
  /** Newest first. */
  recent(limit: number): readonly StoredRequest[];
  saveLife(life: RequestLife): void;
  /** 0 before the first. */
  lastSequence(): number;
  /** After a lost file: goes on above what the validators have seen. Never lowers. */
  raiseSequence(to: number): void;
}

/** Metered energy of one interval: `subject` is a meter, a device or `site`; `quantity` what was metered, e.g. `import`. */
export interface StoredEnergy {
  readonly subject: string;
  readonly quantity: string;
  readonly interval: number;
  /** Null where nothing is known: missing is not zero. */
  readonly energyWh: WattHours | null;
  readonly uncertaintyWh: WattHours;
  readonly quality: string;
  readonly curtailed: boolean;
}

export interface EnergyStore {
  /** One transaction; replaces what is there for the same subject, quantity and interval. */
  save(energies: readonly StoredEnergy[]): void;
  /** Intervals `[from, until)` in order. */
  range(subject: string, quantity: string, from: number, until: number): readonly StoredEnergy[];
}

/** What the chain decided for this site and interval, as proven JSON: `notice`, `settlement`, ... */
export interface OutcomeStore {
  save(interval: number, kind: string, content: unknown): void;
  get(interval: number, kind: string): unknown;
}

export interface StatedDemand {
  readonly customer: string;
  readonly interval: number;
  readonly energyWh: WattHours;
  readonly statedAtMs: Millis;
}

export interface DemandStore {
  /** The last statement of a customer for an interval stands. */
  save(demand: StatedDemand): void;
  of(interval: number): readonly StatedDemand[];
}

export interface SettingsStore {
  get(name: string): unknown;
  /** All that is kept under names with this beginning, by name; what is null is left out. */
  all(prefix: string): readonly unknown[];
  set(name: string, content: unknown): void;
}

export interface GatewayStore {
  readonly requests: RequestStore;
  readonly outbox: Outbox;
  readonly leases: LeaseStore;
  readonly energies: EnergyStore;
  readonly outcomes: OutcomeStore;
  readonly demands: DemandStore;
  readonly customers: CustomerStore;
  readonly weather: WeatherStore;
  /** JSON by name: states of forecasters and meters, the validator set in force. */
  readonly settings: SettingsStore;
  /** Highest verified header, or null before the first. */
  highestHeader(): Header | null;
  /** Keeps a header if it is higher than the one kept. */
  saveHeader(header: Header): void;
  /** Drops what is older than its limit; undecided requests stay. `intervalMs` is the market's interval. */
  prune(nowMs: Millis, intervalMs: Millis): void;
  close(): void;
}

/** Opens a gateway's file; `store.*` errors as in `openSqlite`. */
export function openGatewayStore(path: string, options: { readonly?: boolean } = {}): GatewayStore {
  const db = openSqlite({ path, migrations: MIGRATIONS, ...options });
  const guard = <T>(work: () => T): T => withStoreErrors(path, work);
  const settings = settingsStore(db, guard);
  return {
    requests: requestStore(db, guard, settings),
    outbox: outboxStore(db, guard),
    leases: leaseStore(db, guard),
    energies: energyStore(db, guard),
    outcomes: outcomeStore(db, guard),
    demands: demandStore(db, guard),
    customers: customerStore(db, guard),
    weather: weatherStore(db, guard),
    settings,
    highestHeader: () => {
      const kept = settings.get('highestHeader');
      return kept === null ? null : headerSchema.parse(kept);
    },
    saveHeader: (header) => {
      const kept = settings.get('highestHeader');
      if (kept === null || headerSchema.parse(kept).height < header.height) settings.set('highestHeader', header);
    },
    prune: (nowMs, intervalMs) => {
      const interval = Math.floor((nowMs - ENERGIES_KEPT_MS) / intervalMs);
      guard(() =>
        db.transaction(() => {
          db.prepare('DELETE FROM requests WHERE decided = 1 AND created_at_ms < ?').run(nowMs - REQUESTS_KEPT_MS);
          for (const table of ['energies', 'outcomes', 'demands']) {
            db.prepare(`DELETE FROM ${table} WHERE interval < ?`).run(interval);
          }
        })(),
      );
    },
    close: () => db.close(),
  };
}

interface RequestRow {
  id: string;
  kind: string;
  interval: number | null;
  sequence: number;
  bytes: Buffer;
  created_at_ms: number;
  life: string;
}

function requestStore(db: Sqlite, guard: Guard, settings: SettingsStore): RequestStore {
  const insert = db.prepare(
    'INSERT INTO requests (id, kind, interval, sequence, bytes, created_at_ms, decided, life) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const byId = db.prepare<[string], RequestRow>('SELECT * FROM requests WHERE id = ?');
  const undecided = db.prepare<[], RequestRow>('SELECT * FROM requests WHERE decided = 0 ORDER BY sequence');
  const countUndecided = db.prepare<[], number>('SELECT count(*) FROM requests WHERE decided = 0').pluck();
  const byInterval = db.prepare<[number], RequestRow>('SELECT * FROM requests WHERE interval = ? ORDER BY sequence');
  const newest = db.prepare<[number], RequestRow>('SELECT * FROM requests ORDER BY sequence DESC LIMIT ?');
  const updateLife = db.prepare('UPDATE requests SET life = ?, decided = ? WHERE id = ?');

  const lastSequence = (): number => (settings.get('sequence') as number | null) ?? 0;
  const create = db.transaction((build: (sequence: number) => NewRequest): StoredRequest => {
    if ((countUndecided.get() as number) >= UNDECIDED_MAX) {
      throw new WattpactError(
        'store.undecided',
        `${UNDECIDED_MAX} requests wait for a decision: no new one is signed`,
        {
          hint: 'Are the validators reachable?',
        },
      );
    }
    const sequence = lastSequence() + 1;
    const request = { ...build(sequence), sequence };
    settings.set('sequence', sequence);
    const { id, kind, interval, bytes, createdAtMs, life } = request;
    const blob = Buffer.from(bytes);
    insert.run(id, kind, interval, sequence, blob, createdAtMs, isDecided(life) ? 1 : 0, JSON.stringify(life));
    return request;
  });
  return {
    create: (build) => guard(() => create.immediate(build)),
    get: (id) => guard(() => requestOf(byId.get(id))),
    undecided: () => guard(() => undecided.all().map(toRequest)),
    of: (interval) => guard(() => byInterval.all(interval).map(toRequest)),
    recent: (limit) => guard(() => newest.all(limit).map(toRequest)),
    saveLife: (life) => {
      guard(() => updateLife.run(JSON.stringify(life), isDecided(life) ? 1 : 0, life.id));
    },
    lastSequence: () => guard(lastSequence),
    raiseSequence: (to) => {
      guard(db.transaction(() => to > lastSequence() && settings.set('sequence', to)));
    },
  };
}

function requestOf(row: RequestRow | undefined): StoredRequest | null {
  return row === undefined ? null : toRequest(row);
}

function toRequest(row: RequestRow): StoredRequest {
  return {
    id: row.id,
    kind: row.kind,
    interval: row.interval,
    sequence: row.sequence,
    bytes: new Uint8Array(row.bytes),
    createdAtMs: row.created_at_ms,
    life: afterRestart(JSON.parse(row.life) as RequestLife),
  };
}

function leaseStore(db: Sqlite, guard: Guard): LeaseStore {
  const save = db.prepare(
    'INSERT OR REPLACE INTO leases (device, control, value, revert_to, until_ms) VALUES (?, ?, ?, ?, ?)',
  );
  const remove = db.prepare('DELETE FROM leases WHERE device = ? AND control = ?');
  const all = db.prepare<[], LeaseRecord>(
    'SELECT device, control, value, revert_to AS revertTo, until_ms AS untilMs FROM leases ORDER BY device, control',
  );
  const forget = db.prepare('DELETE FROM counted_writes WHERE at_ms < ?');
  const insert = db.prepare('INSERT INTO counted_writes (device, control, at_ms) VALUES (?, ?, ?)');
  const since = db
    .prepare<[string, string, number], number>(
      'SELECT at_ms FROM counted_writes WHERE device = ? AND control = ? AND at_ms > ?',
    )
    .pluck();
  const count = db.transaction((device: string, control: string, atMs: number) => {
    forget.run(atMs - COUNTED_WRITES_KEPT_MS);
    insert.run(device, control, atMs);
  });
  return {
    save: ({ device, control, value, revertTo, untilMs }) => {
      guard(() => save.run(device, control, value, revertTo, untilMs));
    },
    remove: (device, control) => {
      guard(() => remove.run(device, control));
    },
    all: () => guard(() => all.all()),
    countWrite: (device, control, atMs) => {
      guard(() => count.immediate(device, control, atMs));
    },
    writesSince: (device, control, sinceMs) => guard(() => since.all(device, control, sinceMs)),
  };
}

function energyStore(db: Sqlite, guard: Guard): EnergyStore {
  const save = db.prepare(
    'INSERT OR REPLACE INTO energies (subject, quantity, interval, energy_wh, uncertainty_wh, quality, curtailed) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const range = db.prepare<[string, string, number, number], Omit<StoredEnergy, 'curtailed'> & { curtailed: number }>(
    `SELECT subject, quantity, interval, energy_wh AS energyWh, uncertainty_wh AS uncertaintyWh, quality, curtailed
     FROM energies WHERE subject = ? AND quantity = ? AND interval >= ? AND interval < ? ORDER BY interval`,
  );
  const saveAll = db.transaction((energies: readonly StoredEnergy[]) => {
    for (const { subject, quantity, interval, energyWh, uncertaintyWh, quality, curtailed } of energies) {
      save.run(subject, quantity, interval, energyWh, uncertaintyWh, quality, curtailed ? 1 : 0);
    }
  });
  return {
    save: (energies) => guard(() => saveAll(energies)),
    range: (subject, quantity, from, until) =>
      guard(() => range.all(subject, quantity, from, until).map((row) => ({ ...row, curtailed: row.curtailed === 1 }))),
  };
}

function outcomeStore(db: Sqlite, guard: Guard): OutcomeStore {
  const save = db.prepare('INSERT OR REPLACE INTO outcomes (interval, kind, content) VALUES (?, ?, ?)');
  const get = db
    .prepare<[number, string], string>('SELECT content FROM outcomes WHERE interval = ? AND kind = ?')
    .pluck();
  return {
    save: (interval, kind, content) => {
      guard(() => save.run(interval, kind, JSON.stringify(content)));
    },
    get: (interval, kind) => jsonOrNull(guard(() => get.get(interval, kind)) as string | undefined),
  };
}

function demandStore(db: Sqlite, guard: Guard): DemandStore {
  const save = db.prepare(
    'INSERT OR REPLACE INTO demands (customer, interval, energy_wh, stated_at_ms) VALUES (?, ?, ?, ?)',
  );
  const of = db.prepare<[number], StatedDemand>(
    'SELECT customer, interval, energy_wh AS energyWh, stated_at_ms AS statedAtMs FROM demands WHERE interval = ? ORDER BY customer',
  );
  return {
    save: ({ customer, interval, energyWh, statedAtMs }) => {
      guard(() => save.run(customer, interval, energyWh, statedAtMs));
    },
    of: (interval) => guard(() => of.all(interval)),
  };
}

function settingsStore(db: Sqlite, guard: Guard): SettingsStore {
  const set = db.prepare('INSERT OR REPLACE INTO settings (name, content) VALUES (?, ?)');
  const get = db.prepare<[string], string>('SELECT content FROM settings WHERE name = ?').pluck();
  const all = db
    .prepare<[string, string], string>(
      'SELECT content FROM settings WHERE substr(name, 1, length(?)) = ? ORDER BY name',
    )
    .pluck();
  return {
    get: (name) => jsonOrNull(guard(() => get.get(name)) as string | undefined),
    all: (prefix) =>
      guard(() => all.all(prefix, prefix))
        .map((text) => JSON.parse(text) as unknown)
        .filter((content) => content !== null),
    set: (name, content) => {
      guard(() => set.run(name, JSON.stringify(content)));
    },
  };
}

function jsonOrNull(text: string | undefined): unknown {
  return text === undefined ? null : JSON.parse(text);
}
