// The dumb and slow truth about a plan: the same problem as a mixed-integer program for HiGHS, with perfect foresight.
// Charging and discharging at once is forbidden by a binary where it could pay (prices below zero).

import highsModule from 'highs';
import type { PlanLoad } from '../../src/dispatch/equipment.ts';
import { medianOf } from '../../src/dispatch/plan.ts';
import type { PlanInput } from '../../src/dispatch/plan-types.ts';
import type { Battery, TaperPoint } from '../../src/site/types.ts';

type Highs = Awaited<ReturnType<typeof highsModule.default>>;

let solver: Highs | undefined;

export interface OracleResult {
  /** Cost of the best solution found, and what no solution costs less than: alike but for the gap when it was proven. */
  readonly costUc: number;
  readonly boundUc: number;
  readonly isProven: boolean;
  readonly ms: number;
}

/** Least cost of the plan's input by HiGHS; throws when it is not proven in time. One battery at most; `gap` is the solver's relative gap for whole numbers. */
export async function oracle(input: PlanInput, gap = 1e-4, seconds = 20): Promise<OracleResult> {
  const result = await bounds(input, gap, seconds);
  if (!result.isProven) throw new Error(`the oracle found no optimum in ${seconds} s`);
  return result;
}

/** The same with what was found so far when the time is over. */
export async function bounds(input: PlanInput, gap: number, seconds: number): Promise<OracleResult> {
  // A CommonJS module: its types promise a default export where its code is one.
  solver ??= await (highsModule as unknown as typeof highsModule.default)();
  const { optimal } = solver.constants.modelStatus;
  return solver.withModel({ format: 'lp', data: lp(input) }, (model) => {
    const options = { output_flag: false, mip_rel_gap: gap, time_limit: seconds };
    for (const [name, value] of Object.entries(options)) model.options.set(name, value);
    const started = performance.now();
    model.run();
    const ms = performance.now() - started;
    const costUc = model.getObjectiveValue();
    const isProven = model.getModelStatus() === optimal;
    // Without whole numbers there is no bound but the optimum itself.
    const bound = Number(model.info.get('mip_dual_bound'));
    return { costUc, boundUc: isProven ? costUc : bound, isProven, ms };
  });
}

/** The plan's problem in LP format. */
export function lp(input: PlanInput): string {
  const hours = input.intervalMs / 3_600_000;
  const stored = input.batteries[0];
  const battery: Battery | undefined = stored?.battery;
  const objective: string[] = [];
  const rows: string[] = [];
  const bounds: string[] = [];
  const binaries: string[] = [];
  const n = input.intervals.length;
  const wear = (battery?.cycleCostUcPerWh ?? 0) / 2;
  for (const [t, x] of input.intervals.entries()) {
    const net = medianOf(x.consumptionWh) - medianOf(x.generationWh);
    // gp - gm = net + loads - discharge + charge + curtailed + position; gp bought beyond, gm sold beyond the position.
    objective.push(`${signed(x.buyUcPerWh)} gp${t}`, `${signed(-Math.min(x.sellUcPerWh, x.buyUcPerWh))} gm${t}`);
    const terms = [`gp${t} - gm${t}`];
    if (battery !== undefined) {
      objective.push(
        `${signed(wear * battery.chargeEfficiency)} c${t}`,
        `${signed(wear / battery.dischargeEfficiency)} d${t}`,
      );
      terms.push(`+ d${t} - c${t}`);
      bounds.push(`0 <= c${t} <= ${battery.chargeLimitW * hours}`, `0 <= d${t} <= ${battery.dischargeLimitW * hours}`);
      const low = Math.min((battery.capacityWh * battery.reservePercent) / 100, stored!.storedWh);
      bounds.push(`${low} <= s${t + 1} <= ${battery.capacityWh}`);
      const from = t === 0 ? '' : `- s${t}`;
      const start = t === 0 ? stored!.storedWh : 0;
      const right = start - battery.standingLossW * hours;
      rows.push(
        `s${t + 1} ${from} - ${battery.chargeEfficiency} c${t} + ${1 / battery.dischargeEfficiency} d${t} = ${right}`,
      );
      // Limits by what is stored in the middle of the interval, each straight piece of them a row.
      const limit = (name: string, taper: readonly TaperPoint[], storedPerAc: number): void => {
        for (const [i, b] of taper.slice(1).entries()) {
          const a = taper[i]!;
          const perWh = (b.powerW - a.powerW) / ((b.percent - a.percent) * (battery.capacityWh / 100));
          const atEmptyW = a.powerW - perWh * ((a.percent * battery.capacityWh) / 100);
          const stored = t === 0 ? '' : `${signed(-perWh * hours)} s${t}`;
          const right = (atEmptyW + (t === 0 ? perWh * start : 0)) * hours;
          rows.push(`${1 - (perWh * hours * storedPerAc) / 2} ${name}${t} ${stored} <= ${right}`);
        }
      };
      limit('c', battery.chargeTaper, battery.chargeEfficiency);
      limit('d', battery.dischargeTaper, -1 / battery.dischargeEfficiency);
      if (x.buyUcPerWh < 0 || x.sellUcPerWh < 0) {
        binaries.push(`m${t}`);
        rows.push(`c${t} - ${battery.chargeLimitW * hours} m${t} <= 0`);
        rows.push(`d${t} + ${battery.dischargeLimitW * hours} m${t} <= ${battery.dischargeLimitW * hours}`);
      }
    }
    if (input.curtailable) {
      terms.push(`- q${t}`);
      bounds.push(`0 <= q${t} <= ${medianOf(x.generationWh)}`);
    }
    for (const [l, load] of input.loads.entries()) terms.push(...loadTerms(load, l, t, n, hours));
    rows.push(`${terms.join(' ')} = ${net + x.positionWh}`);
    rows.push(`gp${t} - gm${t} <= ${x.importLimitW * hours + x.positionWh}`);
    rows.push(`gp${t} - gm${t} >= ${-x.exportLimitW * hours + x.positionWh}`);
  }
  for (const [l, load] of input.loads.entries()) loadRows(input, load, l, rows, bounds, binaries);
  if (battery !== undefined) objective.push(`${signed(-(input.endValueUcPerWh ?? 0))} s${n}`);
  return [
    'Minimize',
    ` obj: ${objective.join(' ')}`,
    'Subject To',
    ...rows.map((row, i) => ` r${i}: ${row}`),
    'Bounds',
    ...bounds.map((bound) => ` ${bound}`),
    ...(binaries.length > 0 ? ['Binary', ` ${binaries.join(' ')}`] : []),
    'End',
  ].join('\n');
}

function signed(value: number): string {
  return value < 0 ? `- ${-value}` : `+ ${value}`;
}

function loadTerms(load: PlanLoad, l: number, t: number, n: number, hours: number): string[] {
  if (load.kind === 'program') {
    return load.powersW
      .map((w, i) => [t - i, w] as const)
      .filter(([from]) => from >= 0 && from + load.powersW.length <= n)
      .map(([from, w]) => `- ${w * hours} b${l}_${from}`);
  }
  return load.powersW.map((w, i) => `- ${w * hours} y${l}_${t}_${i}`);
}

function loadRows(
  input: PlanInput,
  load: PlanLoad,
  l: number,
  rows: string[],
  bounds: string[],
  binaries: string[],
): void {
  const n = input.intervals.length;
  const { intervalMs } = input;
  const hours = intervalMs / 3_600_000;
  if (load.kind === 'program') {
    const starts: string[] = [];
    for (let from = 0; from + load.powersW.length <= n; from++) {
      const startMs = input.intervals[from]!.startMs;
      binaries.push(`b${l}_${from}`);
      if (startMs >= load.earliestMs && startMs + load.powersW.length * intervalMs <= load.deadlineMs)
        starts.push(`b${l}_${from}`);
      else bounds.push(`b${l}_${from} = 0`);
    }
    rows.push(`${starts.join(' + ')} = 1`);
    return;
  }
  const need: string[] = [];
  const minOn = Math.max(1, Math.ceil(load.minOnMs / intervalMs));
  const minOff = Math.max(1, Math.ceil(load.minOffMs / intervalMs));
  for (let t = 0; t < n; t++) {
    const startMs = input.intervals[t]!.startMs;
    const inside = startMs >= load.earliestMs && startMs + intervalMs <= load.deadlineMs;
    const levels = load.powersW.map((_, i) => `y${l}_${t}_${i}`);
    binaries.push(...levels);
    if (!inside) for (const level of levels) bounds.push(`${level} = 0`);
    for (const [i, w] of load.powersW.entries()) need.push(`${w * hours} y${l}_${t}_${i}`);
    if (levels.length > 1) rows.push(`${levels.join(' + ')} <= 1`);
    if (minOn > 1 || minOff > 1) {
      const before = t === 0 ? '' : load.powersW.map((_, i) => `+ y${l}_${t - 1}_${i}`).join(' ');
      const was = t === 0 && load.on ? 1 : 0;
      const on = levels.join(' + ');
      binaries.push(`u${l}_${t}`, `v${l}_${t}`);
      // u starts, v stops: on(t) - on(t-1) = u - v
      rows.push(`${on} ${before.replaceAll('+', '-')} - u${l}_${t} + v${l}_${t} = ${was}`);
      const ups = range(Math.max(0, t - minOn + 1), t).map((k) => `u${l}_${k}`);
      rows.push(`${on} - ${ups.join(' - ')} >= 0`);
      const downs = range(Math.max(0, t - minOff + 1), t).map((k) => `v${l}_${k}`);
      rows.push(`${on} + ${downs.join(' + ')} <= 1`);
    }
  }
  rows.push(`${need.join(' + ')} >= ${load.needWh}`);
  // Prices below zero are no reason to run on: what is beyond the need is less than a step, or what a shortest run cannot avoid.
  const leastStep = Math.min(...load.powersW.map((w, i) => w - (load.powersW[i - 1] ?? 0)));
  const beyondWh = Math.max(leastStep * hours, minOn * load.powersW[0]! * hours - load.needWh);
  rows.push(`${need.join(' + ')} <= ${load.needWh + beyondWh * 0.99}`);
}

function range(from: number, until: number): number[] {
  return Array.from({ length: until - from + 1 }, (_, i) => from + i);
}
