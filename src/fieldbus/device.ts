// One device as the field bus reads it: what is due, in which blocks, with what result; and what was learnt of it.
// Owns readings, quarantine and the SunSpec layout of the device. Turns on the wire are bus.ts, writes are leases.ts.

import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import type { Device, Point, Poll, Profile, Table } from '../site/types.ts';
import type { BusOwner, Manner, Urgency } from './bus.ts';
import { decodePart, decodeText, type Layout, NO_LAYOUT, type Registers } from './codec.ts';
import type { BaseOf, RegisterWrite } from './control.ts';
import { FieldbusError, isRefused } from './errors.ts';
import { hasPoint } from './firmware.ts';
import { type Block, cutOf, joined, planBlocks, type Span, spansOf } from './plan.ts';
import { factorOf, nameAtSite, type PointState, pointValue, remember } from './points.ts';
import { findModels, layoutOf } from './sunspec.ts';
import type { DeviceReadings, Reading } from './types.ts';

/** How often each class is read, wall ms. */
export type Periods = Readonly<Record<Exclude<Poll, 'once'>, Millis>>;
export const PERIODS: Periods = { fast: 1_000, medium: 10_000, slow: 60_000 };
/** What is read once is read again after this, in case the device was changed. */
const ONCE_MS = 3_600_000;
/** A reading is stale when this many of its periods were missed. */
const STALE_PERIODS = 3;
/** Failures in a row after which a device is left alone for a while: 1 s, then three times as long each time, to half a minute. */
const QUARANTINE_AFTER = 2;
const QUARANTINE_FIRST_MS = 1_000;
const QUARANTINE_FACTOR = 3;
const QUARANTINE_LAST_MS = 30_000;
/** A probe in quarantine waits for a share of the device's time-out only, but every few probes for all of it: a slow device must be able to come back. */
const PROBE_SHARE = 1 / 4;
const PATIENT_PROBE = 6;
/**
 * Where others wait for the same line, a device that has answered before is given so many times the longest it took, at least the second:
 * one that dies holds up the others for no longer. The longest is forgotten slowly, by this share with each answer.
 */
const ANSWER_FACTOR = 4;
const ANSWER_MS_MIN = 150;
const ANSWER_FORGOTTEN = 1 / 1_000;
/** While the bus is away there is nothing to do but to look again. */
const BUS_AWAY_MS = 250;
/** Splits of refused blocks in one reading: each one finds a hole or drops a point. */
const SPLITS_MAX = 64;

export interface BusDevice {
  readonly device: Device;
  readonly profile: Profile;
  start(): void;
  stop(): void;
  readings(): DeviceReadings;
  /** Reads points now; all counters when none is named. Points that fail keep their reason. */
  refresh(measurands: readonly string[]): Promise<DeviceReadings>;
  /** What is needed to write to it. Errors: as the bus and the SunSpec walk. */
  writing(): Promise<Writing>;
}

export interface Writing {
  readonly layout: Layout;
  readonly baseOf: BaseOf;
  write(write: RegisterWrite): Promise<void>;
  /** Reads spans into registers. */
  read(spans: readonly Span[]): Promise<Registers>;
}

export interface DeviceOptions {
  readonly device: Device;
  readonly profile: Profile;
  readonly bus: BusOwner;
  /** Other devices are on the same bus. */
  readonly shared: boolean;
  readonly periods: Periods;
  readonly clock: Clock;
  readonly log: Log;
}

export function createDevice(options: DeviceOptions): BusDevice {
  const { device, profile, bus, clock, log } = options;
  const { line } = profile;
  const states = new Map<string, PointState>();
  const cuts = new Set<string>();
  const refused = new Set<string>();
  const nextMs: Record<Poll, Millis> = { once: 0, fast: 0, medium: 0, slow: 0 };
  let layout: Layout | null = profile.sunspec === null ? NO_LAYOUT : null;
  let firmware: string | null | undefined;
  let failures = 0;
  /** Longest that an answer took lately; null: it has never answered. */
  let longestMs: Millis | null = null;
  let notBeforeMs = 0;
  let running = false;
  let sleeper: { timer: NodeJS.Timeout; wake: () => void } | null = null;

  const periodOf = (poll: Poll): Millis => (poll === 'once' ? ONCE_MS : options.periods[poll]);
  const manner = (urgency: Urgency): Manner => ({ urgency, unitId: device.unitId, gapMs: line.gapMs, afterMs: 0 });

  function patienceMs(urgency: Urgency): Millis {
    if (urgency === 'control') return line.timeoutMs;
    const known =
      options.shared && longestMs !== null ? Math.max(ANSWER_FACTOR * longestMs, ANSWER_MS_MIN) : line.timeoutMs;
    if (failures < QUARANTINE_AFTER) return Math.min(known, line.timeoutMs);
    return failures % PATIENT_PROBE === 0 ? line.timeoutMs : Math.min(known, line.timeoutMs * PROBE_SHARE);
  }

  function readBlock(block: Block, urgency: Urgency): Promise<number[]> {
    return bus.request(manner(urgency), async (open) => {
      const startMs = clock.monotonicMs();
      const words = await open.read(device.unitId, block.table, block.address, block.count, patienceMs(urgency));
      longestMs = Math.max(clock.monotonicMs() - startMs, (longestMs ?? 0) * (1 - ANSWER_FORGOTTEN));
      return words;
    });
  }

  async function located(urgency: Urgency): Promise<Layout> {
    if (layout === null) {
      const models = await findModels(
        (address, count) => readBlock({ table: 'holding', address, count }, urgency),
        profile.sunspec?.bases ?? [],
      );
      layout = layoutOf(models);
      log.info({ device: device.id, models: models.map(({ id }) => id) }, `${device.id}: SunSpec models found`);
    }
    return layout;
  }

  /** The firmware text, read once when a point asks for it; null when the device does not say. */
  async function firmwareOf(at: Layout, urgency: Urgency): Promise<string | null> {
    if (firmware !== undefined) return firmware;
    const gated = [...profile.points.values()].some((point) => point.firmware !== null);
    const part = profile.identify.find(({ what }) => what === 'firmware')?.part;
    const span = part === undefined ? undefined : spansOf(part, at)[0];
    if (!gated || part === undefined || span === undefined) firmware = null;
    else {
      const words = await readBlock(span, urgency);
      const number = decodePart(
        part,
        (table, address) => (table === span.table ? words[address - span.address] : undefined),
        at,
      );
      firmware =
        part.type === 'string' ? decodeText(words, part.byteOrder) : 'value' in number ? String(number.value) : null;
    }
    return firmware;
  }

  /** Reads what the points need; a refused block is split and what was learnt is kept. */
  async function readPoints(points: readonly Point[], urgency: Urgency): Promise<void> {
    const at = await located(urgency);
    const version = await firmwareOf(at, urgency);
    const wanted = points.filter((point) => !refused.has(point.measurand) && hasPoint(point, version));
    const spans = wanted.flatMap((point) => groupSpans(profile, point, at, line.registersMax));
    const words = new Map<string, number>();
    const registers: Registers = (table, address) => words.get(keyOf(table, address));
    const refusals = new Map<string, string>();
    let blocks = planBlocks(spans, { ...line, cuts });
    for (let splits = 0; blocks.length > 0; ) {
      const failed: Block[] = [];
      await inTurn(blocks, line.inFlightMax, async (block) => {
        try {
          const values = await readBlock(block, urgency);
          for (const [i, value] of values.entries()) words.set(keyOf(block.table, block.address + i), value);
        } catch (error) {
          if (!isRefused(error) || splits >= SPLITS_MAX) throw error;
          const cut = cutOf(block, spans);
          if (cut === null) refusals.set(keyOf(block.table, block.address), error.message);
          else {
            cuts.add(cut);
            failed.push(block);
          }
        }
      });
      splits += failed.length;
      const again = spans.filter((span) => failed.some((block) => contains(block, span)));
      blocks = planBlocks(again, { ...line, cuts });
    }
    const atMs = clock.chainMs();
    const monotonicMs = clock.monotonicMs();
    for (const point of wanted) {
      const refusal = point.parts
        .flatMap((part) => spansOf(part, at))
        .map((span) => refusals.get(keyOf(span.table, span.address)))
        .find((reason) => reason !== undefined);
      if (refusal !== undefined) {
        refused.add(point.measurand);
        log.warn(
          { device: device.id, measurand: point.measurand },
          `${device.id}: ${point.measurand} is not there: ${refusal}`,
        );
      }
      const decoded =
        refusal === undefined
          ? pointValue(point, registers, at, factorOf(point.measurand, device))
          : { reason: refusal };
      remember(stateOf(point.measurand), point, decoded, atMs, monotonicMs);
    }
  }

  function stateOf(measurand: string): PointState {
    let state = states.get(measurand);
    if (state === undefined) {
      state = { value: null, reason: 'never read', atMs: 0, monotonicMs: Number.NEGATIVE_INFINITY, fallen: null };
      states.set(measurand, state);
    }
    return state;
  }

  function succeeded(): void {
    if (failures >= QUARANTINE_AFTER) {
      log.info({ device: device.id }, `${device.id}: answers again`);
      refused.clear();
      firmware = undefined;
      nextMs.once = 0;
    }
    failures = 0;
  }

  /** Away: the line. Silent or mad: the device, which then costs the others at most one probe at a time. */
  function failed(error: unknown, points: readonly Point[]): void {
    const reason = error instanceof Error ? error.message : String(error);
    for (const point of points) stateOf(point.measurand).reason = reason;
    const nowMs = clock.monotonicMs();
    if (error instanceof FieldbusError && (error.fault === 'disconnected' || error.fault === 'closed')) {
      notBeforeMs = nowMs + BUS_AWAY_MS;
      return;
    }
    failures += 1;
    if (failures < QUARANTINE_AFTER) return;
    const waitMs = Math.min(
      QUARANTINE_FIRST_MS * QUARANTINE_FACTOR ** (failures - QUARANTINE_AFTER),
      QUARANTINE_LAST_MS,
    );
    notBeforeMs = nowMs + waitMs;
    if (profile.sunspec !== null) layout = null;
    const level = failures === QUARANTINE_AFTER ? 'warn' : 'debug';
    log[level]({ device: device.id, waitMs }, `${device.id}: ${reason}; asking again in ${waitMs} ms`);
  }

  /** Classes that are due, the urgent ones first; a device in quarantine is asked for one class only. */
  function dueClasses(nowMs: Millis): Poll[] {
    const due = (['once', 'fast', 'medium', 'slow'] as const).filter(
      (poll) => nextMs[poll] <= nowMs && pointsOf(poll).length > 0,
    );
    return failures >= QUARANTINE_AFTER ? due.slice(0, 1) : due;
  }

  const classes = Map.groupBy(profile.points.values(), (point) => point.poll);
  const pointsOf = (poll: Poll): readonly Point[] => classes.get(poll) ?? [];

  async function loop(): Promise<void> {
    while (running) {
      const nowMs = clock.monotonicMs();
      const due = nowMs >= notBeforeMs ? dueClasses(nowMs) : [];
      for (const poll of due) {
        const points = pointsOf(poll);
        try {
          await readPoints(points, poll === 'once' ? 'slow' : poll);
          // Kept in step with the period; beats that were missed are not caught up.
          nextMs[poll] = Math.max(nextMs[poll] + periodOf(poll), nowMs);
          succeeded();
        } catch (error) {
          failed(error, points);
          break;
        }
        if (!running) return;
      }
      await sleep(untilNext());
    }
  }

  function untilNext(): Millis {
    const nowMs = clock.monotonicMs();
    const next = (['once', 'fast', 'medium', 'slow'] as const)
      .filter((poll) => pointsOf(poll).length > 0)
      .map((poll) => nextMs[poll]);
    return Math.max(1, Math.min(Math.max(Math.min(...next), notBeforeMs) - nowMs, ONCE_MS));
  }

  function sleep(ms: Millis): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        sleeper = null;
        resolve();
      };
      sleeper = { timer: setTimeout(wake, ms), wake };
    });
  }

  function readings(): DeviceReadings {
    const nowMs = clock.monotonicMs();
    const result = new Map<string, Reading>();
    for (const point of profile.points.values()) {
      const name = nameAtSite(point.measurand, device);
      if (name !== null) result.set(name, readingOf(stateOf(point.measurand), periodOf(point.poll), nowMs));
    }
    return result;
  }

  return {
    device,
    profile,
    start() {
      running = true;
      const nowMs = clock.monotonicMs();
      for (const poll of ['once', 'fast', 'medium', 'slow'] as const) nextMs[poll] = nowMs;
      void loop();
    },
    stop() {
      running = false;
      if (sleeper !== null) {
        clearTimeout(sleeper.timer);
        sleeper.wake();
      }
    },
    readings,
    async refresh(measurands) {
      const points = [...profile.points.values()].filter((point) =>
        measurands.length === 0
          ? point.counter !== null
          : measurands.includes(nameAtSite(point.measurand, device) ?? ''),
      );
      try {
        if (points.length > 0) await readPoints(points, 'fast');
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        for (const point of points) stateOf(point.measurand).reason = reason;
      }
      return readings();
    },
    async writing() {
      const at = await located('control');
      return {
        layout: at,
        baseOf: (measurand) => states.get(measurand)?.value || device.ratedW,
        write: (write) =>
          bus.request({ ...manner('control'), afterMs: line.afterWriteMs }, (open) => {
            if (write.table !== 'holding' && write.table !== 'coil') {
              throw new FieldbusError('damaged', `${device.id}: ${write.table} cannot be written`);
            }
            const single = line.writes === 'single';
            return open.write(device.unitId, write.table, write.address, write.words, single, line.timeoutMs);
          }),
        async read(spans) {
          const words = new Map<string, number>();
          for (const block of planBlocks(spans, { ...line, cuts })) {
            const values = await readBlock(block, 'control');
            for (const [i, value] of values.entries()) words.set(keyOf(block.table, block.address + i), value);
          }
          return (table, address) => words.get(keyOf(table, address));
        },
      };
    },
  };
}

function readingOf(state: PointState, periodMs: Millis, nowMs: Millis): Reading {
  const { value, reason, atMs, monotonicMs } = state;
  if (monotonicMs === Number.NEGATIVE_INFINITY) {
    return { value: null, quality: 'missing', reason, atMs: 0, monotonicMs: 0 };
  }
  const ageMs = nowMs - monotonicMs;
  if (ageMs > STALE_PERIODS * periodMs) {
    return { value, quality: 'stale', reason: reason ?? `${Math.round(ageMs)} ms old`, atMs, monotonicMs };
  }
  // Between a failed question and the stale limit the last good value still stands; an answer that made no sense does not.
  if (value === null) return { value: null, quality: 'invalid', reason, atMs, monotonicMs };
  return { value, quality: 'good', reason: null, atMs, monotonicMs };
}

/** The registers of a point; of a grouped point those of its whole group as one, where one request can hold them. */
function groupSpans(profile: Profile, point: Point, layout: Layout, registersMax: number): Span[] {
  const own = point.parts.flatMap((part) => spansOf(part, layout));
  if (point.group === null) {
    // A value and its live scale register belong together.
    const together = joined(own, registersMax);
    return together === null || point.parts.every((part) => part.scaleRegister === null) ? own : [together];
  }
  const all = [...profile.points.values()]
    .filter(({ group }) => group === point.group)
    .flatMap(({ parts }) => parts.flatMap((part) => spansOf(part, layout)));
  const span = joined(all, registersMax);
  return span === null ? own : [span];
}

/** Runs over the items, at most `width` at once; the first error ends it when those under way have ended. */
async function inTurn<T>(items: readonly T[], width: number, act: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const errors: unknown[] = [];
  const work = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined && errors.length === 0; item = waiting.shift()) {
      await act(item).catch((error) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, work));
  if (errors.length > 0) throw errors[0];
}

function contains(block: Block, span: Span): boolean {
  return (
    block.table === span.table &&
    span.address >= block.address &&
    span.address + span.count <= block.address + block.count
  );
}

function keyOf(table: Table, address: number): string {
  return `${table} ${address}`;
}
