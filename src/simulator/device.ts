// One served device: its register image fed with what it shows, its controls turned into commands, and its faults.
// Owns counters as the device shows them (where they began, resets, rollover) and the line's misbehaviour.

import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '../base/random.ts';
import type { Millis, WattHours } from '../base/units.ts';
import { createImage, type Image } from '../fieldbus/image.ts';
import { MEASURANDS } from '../site/measurands.ts';
import type { Device, Profile } from '../site/types.ts';
import { answerPdu, EXCEPTION, exceptionPdu, type ModbusUnit } from './modbus/pdu.ts';
import type { AnswerUnit } from './modbus/server.ts';
import type { DeviceFault } from './types.ts';

/** A command that a master gave: null gives the device back to itself. The time-out is the device's own. */
export type Obey = (control: string, value: number | null, timeoutMs: Millis | null) => void;

export interface ServedDevice {
  readonly answer: AnswerUnit;
  /** Takes what the device measures now; before any answer. */
  show(values: ReadonlyMap<string, number>, monotonicMs: Millis): void;
  setFault(fault: DeviceFault | null): void;
  setCounter(measurand: string, valueWh: WattHours): void;
  /** Ends delays: nothing is answered any more. */
  stop(): void;
}

/** Counters of a device in use do not begin at 0: at most this. */
const COUNTER_START_WH_MAX = 20_000_000;

/** Makes a device of a profile. `refresh` brings its values up to date; it is called before every answer. */
export function createServedDevice(
  device: Device,
  profile: Profile,
  seed: number,
  hooks: { refresh(): void; obey: Obey; monotonicMs(): Millis },
): ServedDevice {
  const image = createImage(profile, { ratedW: device.ratedW });
  const startWh = startCounters(profile, seed);
  const untilMs = new Map<string, Millis>();
  const stopped = new AbortController();
  let line: DeviceFault | null = null;
  let frozen: ReadonlySet<string> = new Set();
  let latest: ReadonlyMap<string, number> = new Map();

  function command(control: string): void {
    const timeoutMs = image.controlTimeoutMs(control);
    hooks.obey(control, image.control(control), timeoutMs);
    if (timeoutMs === null) untilMs.delete(control);
    else untilMs.set(control, hooks.monotonicMs() + timeoutMs);
  }

  /** Physics has let go of a command at the same instant: its registers show it. */
  function biteWatchdogs(nowMs: Millis): void {
    for (const [control, until] of untilMs) {
      if (nowMs < until) continue;
      untilMs.delete(control);
      image.forget(control);
    }
  }

  const unit = imageUnit(image, (controls) => {
    for (const control of controls) command(control);
    hooks.refresh();
  });

  return {
    async answer(pdu) {
      const fault = line;
      if (fault?.kind === 'silent') return null;
      if (fault?.kind === 'delay') {
        try {
          await pause(fault.delayMs, undefined, { signal: stopped.signal });
        } catch {
          return null;
        }
      }
      if (fault?.kind === 'exception') return exceptionPdu(pdu[0] ?? 0, fault.code);
      hooks.refresh();
      return answerPdu(unit, pdu);
    },
    show(values, nowMs) {
      biteWatchdogs(nowMs);
      latest = values;
      const shown = new Map<string, number>();
      for (const [measurand, value] of values) {
        if (frozen.has(measurand)) continue;
        shown.set(measurand, asCounted(profile, measurand, value + (startWh.get(measurand) ?? 0)));
      }
      for (const [measurand, state] of switchStates(profile, image))
        if (!frozen.has(measurand)) shown.set(measurand, state);
      image.set(shown);
    },
    setFault(fault) {
      line = fault?.kind === 'freeze' ? null : fault;
      frozen = fault?.kind === 'freeze' ? new Set(fault.measurands ?? profile.points.keys()) : new Set();
    },
    setCounter(measurand, valueWh) {
      startWh.set(measurand, valueWh - (latest.get(measurand) ?? 0));
    },
    stop: () => stopped.abort(),
  };
}

/** Where each counter stood before the simulation began: repeatable, and different for each. */
function startCounters(profile: Profile, seed: number): Map<string, WattHours> {
  const random = seededRandom(seed);
  const counters = [...profile.points.keys()].filter((measurand) => MEASURANDS[measurand]?.counter === true);
  return new Map(counters.map((measurand) => [measurand, Math.floor(random() * COUNTER_START_WH_MAX)]));
}

/** A counter begins again after its rollover, and shows only whole steps. */
function asCounted(profile: Profile, measurand: string, value: number): number {
  const counter = profile.points.get(measurand)?.counter;
  if (counter === undefined || counter === null) return value;
  const rolled = counter.rolloverWh === null ? value : value % counter.rolloverWh;
  return counter.resolutionWh > 0 ? Math.floor(rolled / counter.resolutionWh) * counter.resolutionWh : rolled;
}

/** Outputs show what they were told. */
function switchStates(profile: Profile, image: Image): [string, number][] {
  return [...profile.controls.keys()]
    .filter((control) => control.startsWith('switch'))
    .map((control) => [control, image.control(control) ?? 0]);
}

function imageUnit(image: Image, written: (controls: readonly string[]) => void): ModbusUnit {
  return {
    readBits(table, address, count) {
      const bits = image.read(table, address, count);
      return bits === null ? EXCEPTION.illegalAddress : bits.map((bit) => bit !== 0);
    },
    readRegisters(table, address, count) {
      const words = image.read(table, address, count);
      return words === null ? EXCEPTION.illegalAddress : Uint16Array.from(words);
    },
    writeCoils(address, values) {
      const controls = image.write('coil', address, values.map(Number));
      if (controls === null) return EXCEPTION.illegalAddress;
      written(controls);
      return 0;
    },
    writeRegisters(address, values) {
      const controls = image.write('holding', address, [...values]);
      if (controls === null) return EXCEPTION.illegalAddress;
      written(controls);
      return 0;
    },
  };
}
