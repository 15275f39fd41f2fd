// The voltage check: LinDistFlow (Baran and Wu 1989, losses neglected) in fixed-point integers, and what happens when
// a clearing would break the band. Squared voltages are in ppm of nominal squared: 1,000,000 = 1.0 per unit.
//
//   u(bus) = u(parent) + 2 (R P + X Q) / V^2, P and Q = mean power up the line of the bus, baseline included
//   Q: imports draw reactive power tan(phi) x P, exports run at power factor 1
//
// Tightening, the same everywhere: of the buses out of the band the VIOLATIONS_MAX furthest out are taken. For each, the
// lines on its path to the root that carry orders' energy in the harmful direction (up for too high, down for too low) get
// that direction limited to floor(flow x (S - excess) / S), S = their summed effect on that bus; to 0 if S <= excess. The
// least limit of a line holds. Then the market clears again, at most `repeatsMax` times; if the band is still broken, or no
// order's flow causes it, nothing is traded: the clearing is void. The tightened limits are part of the certificate.

import { floorDiv } from '../base/integers.ts';
import { clear } from './clear.ts';
import type { BusRecord } from './feeder.ts';
import type { Clearing, FeederModel, Finding, OrderBook } from './types.ts';
import { verifyClearing } from './verify.ts';

/** Buses treated in one tightening. */
export const VIOLATIONS_MAX = 64;
const MINUTE_MS = 60_000;
const PPM = 1_000_000;

/** What the operator allows; per unit in ppm (1.1 per unit = 1,100,000). */
export interface VoltageBand {
  readonly rootPpm: number;
  readonly minPpm: number;
  readonly maxPpm: number;
  /** Reactive over active power of imports, ppm. */
  readonly tanPhiPpm: number;
}

export interface VoltageModel {
  readonly resistancesUohm: Float64Array;
  readonly reactancesUohm: Float64Array;
  readonly nominalsV: Float64Array;
  readonly band: VoltageBand;
  readonly minutes: number;
}

export interface TightenedLine {
  readonly bus: number;
  readonly upMaxWh: number;
  readonly downMaxWh: number;
}

export type SecureClearing =
  | {
      readonly status: 'cleared';
      readonly clearing: Clearing;
      /** The feeder with the tightened limits, under which the clearing is optimal. */
      readonly feeder: FeederModel;
      readonly tightened: readonly TightenedLine[];
    }
  | { readonly status: 'void'; readonly bus: number; readonly message: string };

/** The electrical side of a feeder, or null if a line lacks r, x or the voltage: then there is nothing to check. */
export function voltageModel(buses: readonly BusRecord[], band: VoltageBand, lengthMs: number): VoltageModel | null {
  const column = (pick: (bus: BusRecord) => number | undefined): Float64Array | null => {
    const values = buses.map((bus) => (bus.parent === null ? (pick(bus) ?? 1) : pick(bus)));
    return values.every((value) => value !== undefined) ? Float64Array.from(values) : null;
  };
  const resistancesUohm = column((bus) => bus.resistanceUohm);
  const reactancesUohm = column((bus) => bus.reactanceUohm);
  const nominalsV = column((bus) => bus.nominalV);
  if (resistancesUohm === null || reactancesUohm === null || nominalsV === null) return null;
  return { resistancesUohm, reactancesUohm, nominalsV, band, minutes: floorDiv(lengthMs, MINUTE_MS) };
}

/** Squared voltage of each bus, ppm of nominal squared, rounded down line by line. `flowsWh` are the orders' flows. */
export function squaredVoltages(feeder: FeederModel, model: VoltageModel, flowsWh: Float64Array): Float64Array {
  const { parents, topDown, baseFlowsWh, root } = feeder;
  const { resistancesUohm, reactancesUohm, band } = model;
  const n = parents.length;
  const netWh = new Float64Array(n);
  for (let bus = 0; bus < n; bus++) {
    const flow = flowsWh[bus]! + baseFlowsWh[bus]!;
    netWh[bus]! += flow;
    if (parents[bus]! >= 0) netWh[parents[bus]!]! -= flow;
  }
  const reactive = new Float64Array(n);
  for (let k = n - 1; k > 0; k--) {
    const bus = topDown[k]!;
    if (netWh[bus]! < 0) reactive[bus]! += Number((BigInt(netWh[bus]!) * BigInt(band.tanPhiPpm)) / BigInt(PPM));
    reactive[parents[bus]!]! += reactive[bus]!;
  }
  const voltages = new Float64Array(n);
  voltages[root] = floorDiv(band.rootPpm * band.rootPpm, PPM);
  for (let k = 1; k < n; k++) {
    const bus = topDown[k]!;
    const flow = flowsWh[bus]! + baseFlowsWh[bus]!;
    const drive = BigInt(resistancesUohm[bus]!) * BigInt(flow) + BigInt(reactancesUohm[bus]!) * BigInt(reactive[bus]!);
    voltages[bus] = voltages[parents[bus]!]! + riseOf(model, bus, drive);
  }
  return voltages;
}

/** Clears within line limits and the voltage band. */
export function clearSecurely(
  feeder: FeederModel,
  book: OrderBook,
  model: VoltageModel,
  repeatsMax: number,
): SecureClearing {
  let current = feeder;
  for (let repeat = 0; ; repeat++) {
    const clearing = clear(current, book);
    const violations = violationsOf(current, model, clearing);
    const worst = violations[0];
    if (worst === undefined) {
      return { status: 'cleared', clearing, feeder: current, tightened: differences(feeder, current) };
    }
    const next = repeat < repeatsMax ? tighten(current, model, clearing, violations) : null;
    if (next === null) {
      const message = `bus ${feeder.ids[worst.bus]} would be ${worst.excess} ppm beyond the squared voltage band after ${repeat} repeats`;
      return { status: 'void', bus: worst.bus, message };
    }
    current = next;
  }
}

/** The check of a secure clearing: optimal under its tightened limits, which only tighten, and within the band. */
export function verifySecurely(
  feeder: FeederModel,
  book: OrderBook,
  model: VoltageModel,
  clearing: Clearing,
  tightened: readonly TightenedLine[],
): Finding[] {
  const upMaxWh = feeder.upMaxWh.slice();
  const downMaxWh = feeder.downMaxWh.slice();
  for (const line of tightened) {
    if (
      !(
        line.upMaxWh >= 0 &&
        line.upMaxWh <= upMaxWh[line.bus]! &&
        line.downMaxWh >= 0 &&
        line.downMaxWh <= downMaxWh[line.bus]!
      )
    ) {
      return [
        {
          code: 'flow.limit',
          at: line.bus,
          message: `the tightened limit of bus ${feeder.ids[line.bus]} is no tightening`,
        },
      ];
    }
    upMaxWh[line.bus] = line.upMaxWh;
    downMaxWh[line.bus] = line.downMaxWh;
  }
  const findings = verifyClearing({ ...feeder, upMaxWh, downMaxWh }, book, clearing);
  if (findings.length > 0) return findings;
  return violationsOf(feeder, model, clearing).map(({ bus, excess }) => ({
    code: 'voltage',
    at: bus,
    message: `bus ${feeder.ids[bus]} is ${excess} ppm beyond the squared voltage band`,
  }));
}

/**
 * Whether the tightened limits of a clearing are those of the rule, for who does not clear himself: no certificate can say it, so the
 * rule is followed again, which costs a clearing for each repeat. Beside `verifySecurely`.
 */
export function tighteningFindings(
  feeder: FeederModel,
  book: OrderBook,
  model: VoltageModel,
  repeatsMax: number,
  tightened: readonly TightenedLine[],
): Finding[] {
  const ruled = clearSecurely(feeder, book, model, repeatsMax);
  if (ruled.status === 'cleared' && sameLimits(ruled.tightened, tightened)) return [];
  return [{ code: 'flow.limit', at: -1, message: 'limits are tightened otherwise than the voltage rule does' }];
}

function sameLimits(a: readonly TightenedLine[], b: readonly TightenedLine[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ bus, downMaxWh, upMaxWh }, i) => {
      const line = b[i] as TightenedLine;
      return line.bus === bus && line.downMaxWh === downMaxWh && line.upMaxWh === upMaxWh;
    })
  );
}

interface Violation {
  readonly bus: number;
  readonly tooHigh: boolean;
  /** Ppm of nominal squared beyond the band. */
  readonly excess: number;
}

/** The furthest out first; at most VIOLATIONS_MAX. */
function violationsOf(feeder: FeederModel, model: VoltageModel, clearing: Clearing): Violation[] {
  const voltages = squaredVoltages(feeder, model, clearing.flowsWh);
  const lowest = floorDiv(model.band.minPpm * model.band.minPpm, PPM);
  const highest = floorDiv(model.band.maxPpm * model.band.maxPpm, PPM);
  const violations: Violation[] = [];
  for (const bus of feeder.topDown) {
    const voltage = voltages[bus]!;
    if (voltage > highest) violations.push({ bus, tooHigh: true, excess: voltage - highest });
    else if (voltage < lowest) violations.push({ bus, tooHigh: false, excess: lowest - voltage });
  }
  // The sort keeps the order of the tree among equals.
  return violations.sort((a, b) => b.excess - a.excess).slice(0, VIOLATIONS_MAX);
}

/** The feeder with tighter limits, or null if no order's flow causes any of the violations. */
function tighten(
  feeder: FeederModel,
  model: VoltageModel,
  clearing: Clearing,
  violations: readonly Violation[],
): FeederModel | null {
  const upMaxWh = feeder.upMaxWh.slice();
  const downMaxWh = feeder.downMaxWh.slice();
  let changed = false;
  for (const { bus, tooHigh, excess } of violations) {
    const limits = tooHigh ? upMaxWh : downMaxWh;
    const causes: { line: number; flow: number }[] = [];
    let sum = 0;
    for (let line = bus; feeder.parents[line]! >= 0; line = feeder.parents[line]!) {
      const flow = tooHigh ? clearing.flowsWh[line]! : 0 - clearing.flowsWh[line]!;
      if (flow <= 0) continue;
      causes.push({ line, flow });
      sum += riseOf(model, line, BigInt(model.resistancesUohm[line]!) * BigInt(flow));
    }
    for (const { line, flow } of causes) {
      const limit = sum <= excess ? 0 : Number((BigInt(flow) * BigInt(sum - excess)) / BigInt(sum));
      limits[line] = Math.min(limits[line]!, limit);
      changed = true;
    }
  }
  return changed ? { ...feeder, upMaxWh, downMaxWh } : null;
}

/** 2 x drive / V^2 in ppm, rounded down; drive in µohm x Wh an interval. */
function riseOf(model: VoltageModel, bus: number, drive: bigint): number {
  const volts = BigInt(model.nominalsV[bus]!);
  const numerator = 120n * drive;
  const denominator = volts * volts * BigInt(model.minutes);
  const quotient = numerator / denominator;
  return Number(numerator < 0n && quotient * denominator !== numerator ? quotient - 1n : quotient);
}

function differences(before: FeederModel, after: FeederModel): TightenedLine[] {
  const lines: TightenedLine[] = [];
  for (let bus = 0; bus < before.parents.length; bus++) {
    const upMaxWh = after.upMaxWh[bus]!;
    const downMaxWh = after.downMaxWh[bus]!;
    if (upMaxWh !== before.upMaxWh[bus] || downMaxWh !== before.downMaxWh[bus]) lines.push({ bus, upMaxWh, downMaxWh });
  }
  return lines;
}
