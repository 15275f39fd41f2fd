// One energy channel: from raw counter values (or powers) to a continuous register, and its value at the edges of intervals.
// Owns what is believed of a counter: rollover, reset, bounce, resolution. Intervals are put together in meter.ts.

import { intervalAt } from '../base/interval.ts';
import { energyOfPowerWh, type Millis, type WattHours, type Watts } from '../base/units.ts';
import type { ChannelSpec, MeteringMark, MeterReading, MeterSpec } from './types.ts';

/** Readings in a row that must agree before a register that changed for no known reason is believed again. */
const CONFIRMATIONS = 3;
/** Powers kept between two counter readings; beyond it every second one is dropped. */
const POWERS_MAX = 2_048;
/** Edges that one pair of readings may span; beyond it the channel starts anew. */
const EDGES_MAX = 10_000;

/** The register at an edge. `spanMs`: how far apart the readings around it are. */
export interface EdgeValue {
  readonly edge: number;
  readonly valueWh: WattHours;
  readonly errorWh: WattHours;
  readonly stepWh: WattHours;
  readonly spanMs: Millis;
}

export interface ChannelMark {
  readonly mark: MeteringMark;
  readonly fromMs: Millis;
  readonly toMs: Millis;
  /** At most this has flowed without being counted. */
  readonly lostWh: WattHours;
}

interface Point {
  readonly atMs: Millis;
  readonly rawWh: WattHours;
}

interface PowerPoint {
  readonly atMs: Millis;
  readonly powerW: Watts;
}

/** JSON; a channel goes on from it after a restart. */
export interface ChannelState {
  /** Last believed reading; null before the first. */
  last: Point | null;
  /** Register = raw value + this. */
  offsetWh: WattHours;
  suspects: Point[];
  powers: PowerPoint[];
  edges: EdgeValue[];
  marks: ChannelMark[];
  /** Last instant at which something may have flowed. */
  flowMs: Millis;
}

export function newChannel(): ChannelState {
  return { last: null, offsetWh: 0, suspects: [], powers: [], edges: [], marks: [], flowMs: 0 };
}

/** Smallest step of the register at a value: its own, or the width of its float32. */
export function stepOf(spec: ChannelSpec, rawWh: WattHours): WattHours {
  if (spec.float32UnitWh === undefined) return spec.resolutionWh;
  const inUnits = Math.abs(rawWh) / spec.float32UnitWh;
  const ulp = inUnits === 0 ? 0 : 2 ** (Math.floor(Math.log2(inUnits)) - 23);
  return Math.max(spec.resolutionWh, ulp * spec.float32UnitWh);
}

/** Takes the channel's part of a reading; edges that it decides are appended to `state.edges`. */
export function feedChannel(meter: MeterSpec, name: string, state: ChannelState, reading: MeterReading): void {
  const spec = meter.channels[name] as ChannelSpec;
  const sidePowerW = reading.powerW === null ? null : sideOf(spec, reading.powerW);
  if (sidePowerW === null || sidePowerW > 0) state.flowMs = reading.atMs;
  if (spec.source === 'power') {
    if (sidePowerW !== null) integrate(meter, spec, state, { atMs: reading.atMs, powerW: sidePowerW });
    return;
  }
  if (sidePowerW !== null) keepPower(state, { atMs: reading.atMs, powerW: sidePowerW });
  const rawWh = reading.countersWh[name] ?? null;
  if (rawWh !== null && Number.isFinite(rawWh)) takeCounter(meter, spec, state, { atMs: reading.atMs, rawWh });
}

function sideOf(spec: ChannelSpec, powerW: Watts): Watts {
  return Math.max(0, spec.side === 'positive' ? powerW : -powerW);
}

function keepPower(state: ChannelState, point: PowerPoint): void {
  state.powers.push(point);
  if (state.powers.length > POWERS_MAX) state.powers = state.powers.filter((_, i) => i % 2 === 0);
}

/** What follows `from` if it is believable there: the rise, and what a rollover adds; null if it is not. */
function follows(
  meter: MeterSpec,
  spec: ChannelSpec,
  from: Point,
  to: Point,
): { riseWh: number; rolledWh: number } | null {
  const stepWh = Math.max(stepOf(spec, from.rawWh), stepOf(spec, to.rawWh));
  // Registers lag and stamps jitter: half a minute of the largest power is allowed on top.
  const mostWh = energyOfPowerWh(meter.powerMaxW, to.atMs - from.atMs + 30_000) + 2 * stepWh;
  const riseWh = to.rawWh - from.rawWh;
  if (riseWh >= -stepWh && riseWh <= mostWh) return { riseWh: Math.max(0, riseWh), rolledWh: 0 };
  if (spec.rolloverWh !== undefined && riseWh < 0 && riseWh + spec.rolloverWh <= mostWh) {
    return { riseWh: riseWh + spec.rolloverWh, rolledWh: spec.rolloverWh };
  }
  return null;
}

function takeCounter(meter: MeterSpec, spec: ChannelSpec, state: ChannelState, point: Point): void {
  const { last } = state;
  if (last === null) {
    start(meter, spec, state, point);
    return;
  }
  const next = follows(meter, spec, last, point);
  if (next !== null) {
    const [first] = state.suspects;
    if (first !== undefined) state.marks.push({ mark: 'bounce', fromMs: first.atMs, toMs: point.atMs, lostWh: 0 });
    if (next.rolledWh > 0) state.marks.push({ mark: 'rollover', fromMs: last.atMs, toMs: point.atMs, lostWh: 0 });
    state.suspects = [];
    // A register that flickers back by one step has not flowed back: the higher value stands, so the step is not counted twice.
    const believed = next.rolledWh > 0 ? point : { atMs: point.atMs, rawWh: Math.max(last.rawWh, point.rawWh) };
    accept(meter, spec, state, last, believed, next.riseWh);
    return;
  }
  const before = state.suspects.at(-1);
  if (before !== undefined && follows(meter, spec, before, point) !== null) state.suspects.push(point);
  else state.suspects = [point];
  if (state.suspects.length >= CONFIRMATIONS) believeReset(meter, spec, state, last);
}

/** The register goes on from its new value; what flowed between the last old and the first new reading stays uncounted. */
function believeReset(meter: MeterSpec, spec: ChannelSpec, state: ChannelState, last: Point): void {
  const points = state.suspects;
  const first = points[0] as Point;
  state.suspects = [];
  const lostWh = energyOfPowerWh(meter.powerMaxW, first.atMs - last.atMs);
  state.marks.push({ mark: 'reset', fromMs: last.atMs, toMs: first.atMs, lostWh });
  state.flowMs = first.atMs;
  accept(meter, spec, state, last, first, 0);
  for (const point of points.slice(1)) takeCounter(meter, spec, state, point);
}

function start(meter: MeterSpec, spec: ChannelSpec, state: ChannelState, point: Point): void {
  state.last = point;
  state.edges = [];
  state.powers = state.powers.filter((power) => power.atMs >= point.atMs);
  if (point.atMs % meter.intervalMs === 0) {
    const edge = point.atMs / meter.intervalMs;
    const stepWh = stepOf(spec, point.rawWh);
    state.edges.push({ edge, valueWh: point.rawWh + state.offsetWh, errorWh: 0, stepWh, spanMs: 0 });
  }
}

function accept(
  meter: MeterSpec,
  spec: ChannelSpec,
  state: ChannelState,
  from: Point,
  to: Point,
  riseWh: WattHours,
): void {
  const startWh = from.rawWh + state.offsetWh;
  if (riseWh > 0) state.flowMs = to.atMs;
  const firstEdge = intervalAt(from.atMs, meter.intervalMs) + 1;
  const lastEdge = intervalAt(to.atMs, meter.intervalMs);
  state.offsetWh = startWh + riseWh - to.rawWh;
  state.last = to;
  if (lastEdge - firstEdge > EDGES_MAX) {
    start(meter, spec, state, to);
    return;
  }
  if (lastEdge >= firstEdge) {
    const shape = shapeBetween(state.powers, from.atMs, to.atMs);
    const stepWh = stepOf(spec, to.rawWh);
    for (let edge = firstEdge; edge <= lastEdge; edge++) {
      const { shareLow, share, shareHigh } = shareAt(shape, edge * meter.intervalMs);
      state.edges.push({
        edge,
        valueWh: startWh + riseWh * share,
        errorWh: riseWh * Math.max(share - shareLow, shareHigh - share),
        stepWh,
        spanMs: edge * meter.intervalMs === to.atMs ? 0 : to.atMs - from.atMs,
      });
    }
  }
  state.powers = state.powers.filter((power) => power.atMs >= to.atMs);
}

/** Cumulative energy of the known powers between two instants; a straight line when they say nothing. */
function shapeBetween(powers: readonly PowerPoint[], fromMs: Millis, toMs: Millis): { atMs: Millis; part: number }[] {
  const inside = powers.filter((power) => power.atMs > fromMs && power.atMs < toMs);
  const known = powers.filter((power) => power.atMs >= fromMs && power.atMs <= toMs);
  const firstW = known[0]?.powerW ?? 1;
  const lastW = known.at(-1)?.powerW ?? 1;
  const points = [{ atMs: fromMs, powerW: firstW }, ...inside, { atMs: toMs, powerW: lastW }];
  let sum = 0;
  const shape = points.map((point, i) => {
    const before = points[i - 1];
    if (before !== undefined) sum += ((before.powerW + point.powerW) / 2) * (point.atMs - before.atMs);
    return { atMs: point.atMs, part: sum };
  });
  if (sum > 0) return shape.map((point) => ({ atMs: point.atMs, part: point.part / sum }));
  return [
    { atMs: fromMs, part: 0 },
    { atMs: toMs, part: 1 },
  ];
}

/** Share of the rise before an instant, and its bounds: the shares at the shape's points around it. */
function shareAt(
  shape: readonly { atMs: Millis; part: number }[],
  atMs: Millis,
): { shareLow: number; share: number; shareHigh: number } {
  for (let i = 1; i < shape.length; i++) {
    const high = shape[i] as { atMs: Millis; part: number };
    if (high.atMs < atMs) continue;
    if (high.atMs === atMs) return { shareLow: high.part, share: high.part, shareHigh: high.part };
    const low = shape[i - 1] as { atMs: Millis; part: number };
    const share = low.part + ((high.part - low.part) * (atMs - low.atMs)) / (high.atMs - low.atMs);
    return { shareLow: low.part, share, shareHigh: high.part };
  }
  return { shareLow: 1, share: 1, shareHigh: 1 };
}

/** A channel without a register: the trapezoid of its powers; over a gap nothing is counted. */
function integrate(meter: MeterSpec, spec: ChannelSpec, state: ChannelState, point: PowerPoint): void {
  const before = state.powers.at(-1);
  const { last } = state;
  const to = { atMs: point.atMs, rawWh: 0 };
  state.powers.push(point);
  if (before === undefined || last === null) {
    start(meter, spec, state, to);
    return;
  }
  const spanMs = point.atMs - before.atMs;
  if (spanMs <= meter.gapMs) {
    accept(meter, spec, state, last, to, energyOfPowerWh((before.powerW + point.powerW) / 2, spanMs));
    return;
  }
  const lostWh = energyOfPowerWh(meter.powerMaxW, spanMs);
  state.marks.push({ mark: 'gap', fromMs: before.atMs, toMs: point.atMs, lostWh });
  accept(meter, spec, state, last, to, 0);
}
