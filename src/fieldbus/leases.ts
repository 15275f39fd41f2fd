// Writes that end by themselves: limits checked, persisted with their revert, written, read back, renewed, reverted.
// Owns every write to a device. A lease ends on release, on its time, at stop, and at the next start after a crash.

import type { Clock } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import { clamp } from '../base/integers.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import type { Control, SiteFile, WriteStep } from '../site/types.ts';
import { decodePart, encodePart, type Registers } from './codec.ts';
import { type RegisterWrite, releaseWrites, writesOf } from './control.ts';
import type { BusDevice, Writing } from './device.ts';
import { FieldbusError } from './errors.ts';
import { spansOf } from './plan.ts';
import type { Lease, LeaseState, LeaseStore } from './types.ts';
import { createWear } from './wear.ts';

/** A revert that could not be written is tried again this often, for ever: the record stays until it is done. */
const REVERT_RETRY_MS = 2_000;
/** The same while the line is not there, as at the start: it costs nothing. */
const LINE_AWAY_MS = 250;
/** A device's watchdog is fed when this share of its time has passed. */
const FEED_SHARE = 1 / 3;
/** Longest a stop waits for reverts; what is left is reverted at the next start. */
const STOP_MS = 5_000;
/** Another controller that took our register keeps it this long before we try again. */
const FOREIGN_MS = 60_000;
/** While a value stands, its registers are compared with it this often. */
const LOOK_MS = 10_000;

export interface Leases {
  /** Reverts what a crash left behind, as soon as each device can be reached. */
  recover(): void;
  lease(deviceId: string, name: string, value: number, ttlMs: Millis): Promise<Lease>;
  release(deviceId: string, name: string): Promise<void>;
  /** Reverts everything, within a bounded time. */
  stop(): Promise<void>;
}

interface Held {
  readonly target: BusDevice;
  readonly control: Control;
  /** Value last asked for, and last written successfully. */
  value: number | null;
  written: number | null;
  writtenAtMs: Millis;
  /** When the registers were last compared with what was written. */
  lookedAtMs: Millis;
  /** Register contents as written and when, by step: to write modes once, and to notice other masters. */
  words: Map<number, { readonly words: readonly number[]; readonly atMs: Millis }>;
  /** Until then the register is another controller's. */
  foreignUntilMs: Millis;
  persisted: boolean;
  /** An earlier run left a value in the device: it is taken back before anything new is written. */
  left: boolean;
  expiry: NodeJS.Timeout | null;
  retry: NodeJS.Timeout | null;
  /** Why the last try to revert failed: said once. */
  revertTrouble: string | null;
  /** When it was last leased with success, monotonic. */
  heldAtMs: Millis;
  /** Writes one after the other: to this control, and to the other contact of an SG-ready pair. */
  readonly line: { tail: Promise<unknown> };
}

export interface LeasesOptions {
  readonly site: SiteFile;
  readonly devices: ReadonlyMap<string, BusDevice>;
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly log: Log;
}

/** One contact of a heat pump's SG-ready pair: the other one on the same device, and whether this one blocks the pump when it is closed alone. */
interface Contact {
  readonly load: string;
  readonly other: string;
  readonly blocks: boolean;
}

/** The contacts of all SG-ready pairs, by `device/control`. */
function sgReadyPairs(site: Pick<SiteFile, 'loads'>): ReadonlyMap<string, Contact> {
  return new Map(
    site.loads.flatMap(({ id: load, device, control, block }): [string, Contact][] =>
      block === null
        ? []
        : [
            [`${device}/${control}`, { load, other: block, blocks: false }],
            [`${device}/${block}`, { load, other: control, blocks: true }],
          ],
    ),
  );
}

export function createLeases({ site, devices, store, clock, log }: LeasesOptions): Leases {
  const all = new Map<string, Held>();
  const pairs = sgReadyPairs(site);
  const wear = createWear(store, clock);
  let stopped = false;

  function heldOf(deviceId: string, name: string): Held {
    const key = `${deviceId}/${name}`;
    const known = all.get(key);
    if (known !== undefined) return known;
    const target = devices.get(deviceId);
    const control = target?.profile.controls.get(name);
    if (target === undefined || control === undefined) {
      const what = target === undefined ? `there is no device ${deviceId}` : `${deviceId} has no control ${name}`;
      throw new WattpactError('fieldbus.control', what);
    }
    const held: Held = {
      target,
      control,
      value: null,
      written: null,
      writtenAtMs: Number.NEGATIVE_INFINITY,
      lookedAtMs: Number.NEGATIVE_INFINITY,
      words: new Map(),
      foreignUntilMs: Number.NEGATIVE_INFINITY,
      persisted: false,
      left: false,
      expiry: null,
      retry: null,
      revertTrouble: null,
      heldAtMs: Number.NEGATIVE_INFINITY,
      line: partnerOf(deviceId, name)?.line ?? { tail: Promise.resolve() },
    };
    all.set(key, held);
    return held;
  }

  /** The other contact of an SG-ready pair, when it has been driven already. */
  function partnerOf(deviceId: string, name: string): Held | undefined {
    const contact = pairs.get(`${deviceId}/${name}`);
    return contact === undefined ? undefined : all.get(`${deviceId}/${contact.other}`);
  }

  /** The contact of an SG-ready pair that would block the heat pump if this one opened, while it is or may be closed. */
  function blocking({ target, control }: Held): Held | null {
    const { id } = target.device;
    if (pairs.get(`${id}/${control.control}`)?.blocks !== false) return null;
    const block = partnerOf(id, control.control);
    return block?.persisted === true && block.written !== 0 ? block : null;
  }

  /** A contact that blocks when it is closed alone is closed only with the other, and opened when that one is not known to be closed any more. */
  async function keepUnblocked(held: Held, value: number, ttlMs: Millis): Promise<void> {
    const { target, control } = held;
    const { id } = target.device;
    if (value === 0) {
      const block = blocking(held);
      if (block !== null) await revert(block);
    }
    const contact = pairs.get(`${id}/${control.control}`);
    if (contact?.blocks !== true || value === 0) return;
    const recommend = partnerOf(id, control.control);
    const isFresh = clock.monotonicMs() - (recommend?.heldAtMs ?? Number.NEGATIVE_INFINITY) < ttlMs;
    if (recommend?.value === 1 && (recommend.written === 1 || (held.written === 1 && isFresh))) return;
    if (held.persisted) await revert(held);
    throw new WattpactError(
      'fieldbus.order',
      `${id}: ${control.control} closed without ${contact.other} would block the heat pump ${contact.load}`,
    );
  }

  function inOrder<T>(held: Held, act: () => Promise<T>): Promise<T> {
    const next = held.line.tail.then(act, act);
    held.line.tail = next.catch(() => undefined);
    return next;
  }

  const revertValue = (held: Held): number => held.control.revert ?? held.target.device.ratedW ?? held.control.max;

  function leaseOf(held: Held, value: number, state: LeaseState, reason: string | null): Lease {
    const { control } = held.control;
    return { device: held.target.device.id, control, value, revertTo: revertValue(held), state, reason };
  }

  async function write(held: Held, value: number, ttlMs: Millis): Promise<void> {
    const { control, target } = held;
    const nowMs = clock.monotonicMs();
    if (nowMs < held.foreignUntilMs) throw foreignError(held);
    if (held.left) await revert(held);
    await keepUnblocked(held, value, ttlMs);
    const feed = nowMs - held.writtenAtMs >= feedAfterMs(control, ttlMs);
    const look = nowMs - held.lookedAtMs >= LOOK_MS;
    if (value === held.written && !feed && !look) return;
    const writing = await target.writing();
    await refuseForeign(held, writing, ttlMs);
    if (value === held.written && !feed) return;
    const current = await currentOf(control.write, writing);
    const steps = writesOf(control, value, writing.baseOf, current, writing.layout);
    const missing = await notHeld(control, steps, writing);
    const wears = control.storage === 'eeprom' && missing.length > 0;
    if (wears) wear.refuseValue(target.device.id, control);
    if (!held.persisted) {
      const device = target.device.id;
      store.save({
        device,
        control: control.control,
        value,
        revertTo: revertValue(held),
        untilMs: clock.chainMs() + ttlMs,
      });
      held.persisted = true;
    }
    if (wears) wear.count(target.device.id, control);
    await arm(control, writing, ttlMs);
    for (const [i, step] of steps.entries()) {
      const kind = control.write[i]?.carries.kind;
      const last = held.words.get(i);
      // A mode that stands is written again only to feed a watchdog; the value itself always.
      const stands =
        last !== undefined && nowMs - last.atMs < feedAfterMs(control, ttlMs) && sameWords(last.words, step.words);
      if ((kind === 'constant' || kind === 'bySign') && stands) continue;
      if (missing.includes(step)) await writing.write(step);
      held.words.set(i, { words: step.words, atMs: nowMs });
    }
    await readBack(held, writing);
    held.written = value;
    held.writtenAtMs = clock.monotonicMs();
    held.lookedAtMs = held.writtenAtMs;
  }

  /** Of the writes those that change something: what an EEPROM register holds already is not written into it again. */
  async function notHeld(control: Control, writes: readonly RegisterWrite[], writing: Writing) {
    if (control.storage !== 'eeprom' || control.write.some(({ readBack }) => readBack === null)) return writes;
    const spans = writes.map(({ table, address, words }) => ({ table, address, count: words.length }));
    const registers = await writing.read(spans);
    return writes.filter(({ table, address, words }) =>
      words.some((word, offset) => registers(table, address + offset) !== word),
    );
  }

  /** Somebody else's value in our register is reported and not fought: looked for before a new value, and every LOOK_MS while one stands. */
  async function refuseForeign(held: Held, writing: Writing, ttlMs: Millis): Promise<void> {
    if (held.written === null) return;
    const { control, target } = held;
    const differences = await differencesOf(held, writing);
    held.lookedAtMs = clock.monotonicMs();
    if (differences.length === 0) return;
    // Not fed for its watchdog's time, since this program stood still or the line was away: the device went back by itself.
    if (held.lookedAtMs - held.writtenAtMs >= watchdogMs(control, ttlMs)) return forget(held);
    held.foreignUntilMs = held.lookedAtMs + FOREIGN_MS;
    log.warn({ device: target.device.id, control: control.control, differences }, foreignText(held));
    throw foreignError(held);
  }

  async function arm(control: Control, writing: Writing, ttlMs: Millis): Promise<void> {
    const { watchdog } = control;
    if (watchdog?.kind !== 'register') return;
    const seconds = Math.ceil(clamp(ttlMs, watchdog.minMs, watchdog.maxMs) / 1000);
    const { part } = watchdog;
    const span = spansOf(part, writing.layout)[0];
    if (span === undefined) throw new WattpactError('fieldbus.model', `the device has no SunSpec model ${part.model}`);
    const current = await currentOf([{ part }], writing);
    await writing.write({
      table: span.table,
      address: span.address,
      words: encodePart(part, seconds, current, writing.layout),
    });
  }

  /** A device that took the write and shows something else has not taken it. */
  async function readBack(held: Held, writing: Writing): Promise<void> {
    const { control, target } = held;
    const [difference] = await differencesOf(held, writing);
    if (difference === undefined) return;
    throw new WattpactError(
      'fieldbus.readback',
      `${target.device.id}: ${control.control} was written ${difference.written} and reads ${difference.found}`,
    );
  }

  /** Steps whose registers show something else than was written last, where they can be read. */
  async function differencesOf({ control, words }: Held, writing: Writing) {
    const { layout } = writing;
    const steps = control.write.flatMap(({ part, readBack }, i) => {
      const written = words.get(i)?.words;
      return readBack === null || written === undefined ? [] : [{ part, readBack, written }];
    });
    const scales = await currentOf(control.write, writing);
    const registers = await writing.read(steps.flatMap((step) => spansOf(step.readBack, layout)));
    return steps.flatMap(({ part, readBack, written }) => {
      const span = spansOf(part, layout)[0];
      const own: Registers = (table, address) => {
        const offset = span === undefined || span.table !== table ? -1 : address - span.address;
        return written[offset] ?? registers(table, address) ?? scales(table, address);
      };
      const meant = decodePart(part, own, layout);
      const shown = decodePart(
        readBack,
        (table, address) => registers(table, address) ?? scales(table, address),
        layout,
      );
      if ('value' in shown && 'value' in meant && Math.abs(shown.value - meant.value) <= control.tolerance) return [];
      return [
        {
          written: 'reason' in meant ? meant.reason : String(meant.value),
          found: 'reason' in shown ? shown.reason : String(shown.value),
        },
      ];
    });
  }

  async function revert(held: Held): Promise<void> {
    const block = blocking(held);
    if (block !== null) await revert(block);
    if (clock.monotonicMs() >= held.foreignUntilMs) await writeRevert(held);
    forget(held);
    held.value = null;
    if (held.persisted) store.remove(held.target.device.id, held.control.control);
    held.persisted = false;
    held.left = false;
  }

  /** What was written is no longer taken to stand in the device. */
  function forget(held: Held): void {
    held.words.clear();
    held.written = null;
  }

  async function writeRevert(held: Held): Promise<void> {
    const { control, target } = held;
    const writing = await target.writing();
    const current = await currentOf([...control.write, ...control.release], writing);
    const writes: RegisterWrite[] =
      control.release.length > 0
        ? releaseWrites(control, writing.baseOf, current, writing.layout)
        : writesOf(control, revertValue(held), writing.baseOf, current, writing.layout);
    const steps = await notHeld(control, writes, writing);
    if (control.storage === 'eeprom' && steps.length > 0) {
      wear.refuseRevert(target.device.id, control);
      wear.count(target.device.id, control);
    }
    for (const step of steps) await writing.write(step);
  }

  /** Reverts, and keeps trying in the background when it does not work: the record on disk stays until it has. */
  async function revertFirmly(held: Held, why: string): Promise<void> {
    if (held.expiry !== null) clearTimeout(held.expiry);
    if (held.retry !== null) clearTimeout(held.retry);
    held.expiry = null;
    held.retry = null;
    const { device } = held.target;
    try {
      await inOrder(held, () => revert(held));
      held.revertTrouble = null;
      log.info(
        { device: device.id, control: held.control.control },
        `${device.id}: ${held.control.control} reverted: ${why}`,
      );
    } catch (error) {
      const trouble = describeError(error);
      log[trouble === held.revertTrouble ? 'debug' : 'warn'](
        { device: device.id, control: held.control.control },
        `${device.id}: cannot revert ${held.control.control}: ${trouble}`,
      );
      held.revertTrouble = trouble;
      if (stopped) return;
      const away = error instanceof FieldbusError && error.fault === 'disconnected';
      held.retry = setTimeout(() => void revertFirmly(held, why), away ? LINE_AWAY_MS : REVERT_RETRY_MS);
    }
  }

  return {
    recover() {
      for (const record of store.all()) {
        try {
          const held = heldOf(record.device, record.control);
          held.persisted = true;
          held.left = true;
          void revertFirmly(held, 'left by an earlier run');
        } catch (error) {
          log.warn({ ...record }, `a lease cannot be reverted: ${describeError(error)}; it is forgotten`);
          store.remove(record.device, record.control);
        }
      }
    },
    async lease(deviceId, name, value, ttlMs) {
      if (stopped) throw new WattpactError('fieldbus.closed', 'the field bus is stopped');
      const held = heldOf(deviceId, name);
      const allowed = allowedValue(site, held, value);
      if (held.retry !== null) clearTimeout(held.retry);
      held.retry = null;
      if (held.expiry !== null) clearTimeout(held.expiry);
      held.expiry = setTimeout(() => void revertFirmly(held, 'its time was over'), ttlMs);
      held.value = allowed;
      try {
        await inOrder(held, () => write(held, allowed, ttlMs));
        held.heldAtMs = clock.monotonicMs();
        return leaseOf(held, allowed, 'active', null);
      } catch (error) {
        held.words.clear();
        held.written = null;
        return leaseOf(held, allowed, 'failed', describeError(error));
      }
    },
    async release(deviceId, name) {
      const held = heldOf(deviceId, name);
      if (held.value === null && !held.persisted) return;
      await revertFirmly(held, 'released');
    },
    async stop() {
      stopped = true;
      const open = [...all.values()].filter((held) => held.persisted || held.value !== null);
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, STOP_MS);
      });
      await Promise.race([Promise.all(open.map((held) => revertFirmly(held, 'the field bus stops'))), timeout]);
      clearTimeout(timer);
    },
  };
}

/** A value on the control's grid and within the device's and the site's limits. Errors: `fieldbus.limit`, `fieldbus.failsafe`. */
function allowedValue(site: SiteFile, { control, target }: Held, value: number): number {
  const { device } = target;
  const bounds = limitsOf(site, device.id, device.ratedW, control);
  if (!(value >= bounds.min - control.step && value <= bounds.max + control.step)) {
    throw new WattpactError(
      'fieldbus.limit',
      `${device.id}: ${control.control} of ${value} is outside ${bounds.min} to ${bounds.max}`,
    );
  }
  const stepped = clamp(Math.trunc(value / control.step) * control.step, bounds.min, bounds.max);
  if (control.control === 'batterySetpointW' && control.failsafe === 'none' && stepped !== (control.revert ?? 0)) {
    throw new WattpactError(
      'fieldbus.failsafe',
      `${device.id}: ${control.control} has no watchdog in the device: a gateway that never comes back would leave it at ${stepped}`,
    );
  }
  return stepped;
}

function limitsOf(
  site: SiteFile,
  deviceId: string,
  ratedW: number | null,
  control: Control,
): { min: number; max: number } {
  const storage = site.storage.find(({ device }) => device === deviceId);
  switch (control.control) {
    case 'batterySetpointW':
      return {
        min: Math.max(control.min, -(storage?.chargeLimitW ?? Number.POSITIVE_INFINITY)),
        max: Math.min(control.max, storage?.dischargeLimitW ?? Number.POSITIVE_INFINITY),
      };
    case 'generationLimitW':
      return { min: control.min, max: Math.min(control.max, ratedW ?? Number.POSITIVE_INFINITY) };
    default:
      return { min: control.min, max: control.max };
  }
}

/** How long after the last feed the device goes back to its own: never without a watchdog. */
function watchdogMs({ watchdog }: Control, ttlMs: Millis): Millis {
  if (watchdog === null) return Number.POSITIVE_INFINITY;
  return watchdog.kind === 'fixed' ? watchdog.timeoutMs : clamp(ttlMs, watchdog.minMs, watchdog.maxMs);
}

/** When an unchanged value is written again: to feed the device's watchdog, otherwise never. */
const feedAfterMs = (control: Control, ttlMs: Millis): Millis => watchdogMs(control, ttlMs) * FEED_SHARE;

/** What encoding needs to know before: scale registers, and the other bits of shared registers. */
async function currentOf(steps: readonly Pick<WriteStep, 'part'>[], writing: Writing) {
  const needed = steps.flatMap(({ part }) => {
    const [own, scale] = spansOf(part, writing.layout);
    return [...(part.bits !== null && own !== undefined ? [own] : []), ...(scale === undefined ? [] : [scale])];
  });
  return writing.read(needed);
}

function sameWords(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

function foreignText({ control, target }: Held): string {
  return `${target.device.id}: another controller changed ${control.control}`;
}

function foreignError(held: Held): WattpactError {
  return new WattpactError('fieldbus.foreign', foreignText(held), {
    hint: 'two masters drive the same register; switch one of them off',
  });
}
