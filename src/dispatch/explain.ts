// The plan in words: one line a decision, with the reason that decided it.

import { isoSeconds } from '../base/interval.ts';
import type { LoadPlan, PlanInput, PlanLine, PlanStep } from './plan-types.ts';
import { acWh, type Storage } from './value.ts';

/** Smaller energies an interval are no decision. */
const NOTICEABLE_WH = 1;

type Doing = 'charge' | 'discharge' | 'idle';

/** Runs of charging, discharging and load operation, each with its price now and the price it is weighed against. */
export function explainPlan(
  input: PlanInput,
  steps: readonly PlanStep[],
  loads: readonly LoadPlan[],
  storage: Storage | null,
): PlanLine[] {
  const lines: PlanLine[] = [];
  if (storage !== null) lines.push(...batteryLines(input, steps, storage));
  lines.push(...loadLines(input, loads));
  lines.push(...curtailLines(steps));
  return lines.sort((a, b) => a.startMs - b.startMs);
}

function doingOf(step: PlanStep): Doing {
  if (step.batteryWh > NOTICEABLE_WH) return 'discharge';
  return step.batteryWh < -NOTICEABLE_WH ? 'charge' : 'idle';
}

/** The price that a Wh of the battery meets in an interval: buying where the site imports, selling where it exports. */
function priceAt(input: PlanInput, steps: readonly PlanStep[], t: number): number {
  const x = input.intervals[t]!;
  const step = steps[t]!;
  const gridBefore = step.gridWh + step.batteryWh;
  if (step.batteryWh < 0)
    return gridBefore + x.positionWh < 0 && step.gridWh + x.positionWh <= NOTICEABLE_WH ? x.sellUcPerWh : x.buyUcPerWh;
  return step.gridWh + x.positionWh < -NOTICEABLE_WH ? x.sellUcPerWh : x.buyUcPerWh;
}

function batteryLines(input: PlanInput, steps: readonly PlanStep[], storage: Storage): PlanLine[] {
  const lines: PlanLine[] = [];
  for (let from = 0; from < steps.length; ) {
    const doing = doingOf(steps[from]!);
    let until = from + 1;
    while (until < steps.length && doingOf(steps[until]!) === doing) until++;
    if (doing !== 'idle') lines.push(batteryLine(input, steps, storage, doing, from, until));
    from = until;
  }
  return lines;
}

function batteryLine(
  input: PlanInput,
  steps: readonly PlanStep[],
  storage: Storage,
  doing: 'charge' | 'discharge',
  from: number,
  until: number,
): PlanLine {
  const run = steps.slice(from, until);
  const energyWh = run.reduce((sum, step) => sum + Math.abs(step.batteryWh), 0);
  const mean = (range: readonly number[]): number => {
    const weight = range.reduce((sum, t) => sum + Math.abs(steps[t]!.batteryWh), 0);
    return range.reduce((sum, t) => sum + Math.abs(steps[t]!.batteryWh) * priceAt(input, steps, t), 0) / weight;
  };
  const now = mean(run.map((_, i) => from + i));
  const { startMs } = run[0]!;
  const until24 = clockTime(steps[until - 1]!.startMs + input.intervalMs);
  if (doing === 'discharge') {
    return { startMs, what: `discharge ${kwh(energyWh)} until ${until24}: ${price(now)} now` };
  }
  // Against the dearest use that follows before the store is full of it.
  const later = steps.map((_, t) => t).filter((t) => t >= until && doingOf(steps[t]!) === 'discharge');
  if (later.length === 0)
    return { startMs, what: `charge ${kwh(energyWh)} until ${until24}: ${price(now)} now, kept for later` };
  const used: number[] = [];
  let left =
    -acWh(storage, -energyWh * storage.chargeEfficiency) * storage.chargeEfficiency * storage.dischargeEfficiency;
  for (const t of later) {
    if (left <= 0) break;
    used.push(t);
    left -= steps[t]!.batteryWh;
  }
  const at = clockTime(steps[used[0]!]!.startMs);
  return {
    startMs,
    what: `charge ${kwh(energyWh)} until ${until24}: ${price(now)} now against ${price(mean(used))} from ${at}`,
  };
}

function loadLines(input: PlanInput, loads: readonly LoadPlan[]): PlanLine[] {
  const lines: PlanLine[] = [];
  const hours = input.intervalMs / 3_600_000;
  for (const { id, powersW, met } of loads) {
    for (let from = 0; from < powersW.length; ) {
      let until = from + 1;
      while (until < powersW.length && powersW[until]! > 0 === powersW[from]! > 0) until++;
      if (powersW[from]! > 0) {
        const energyWh = powersW.slice(from, until).reduce((sum, powerW) => sum + powerW * hours, 0);
        const mean = input.intervals.slice(from, until).reduce((sum, x) => sum + x.buyUcPerWh, 0) / (until - from);
        const until24 = clockTime(input.intervals[until - 1]!.startMs + input.intervalMs);
        lines.push({
          startMs: input.intervals[from]!.startMs,
          what: `run ${id} ${kwh(energyWh)} until ${until24}: buying is ${price(mean)} then`,
        });
      }
      from = until;
    }
    if (!met)
      lines.push({ startMs: input.intervals[0]!.startMs, what: `${id} cannot get all it needs before its deadline` });
  }
  return lines;
}

function curtailLines(steps: readonly PlanStep[]): PlanLine[] {
  const lines: PlanLine[] = [];
  let from = -1;
  let energyWh = 0;
  for (let t = 0; t <= steps.length; t++) {
    const curtailedWh = steps[t]?.curtailedWh ?? 0;
    if (curtailedWh > NOTICEABLE_WH) {
      if (from < 0) from = t;
      energyWh += curtailedWh;
    } else if (from >= 0) {
      lines.push({
        startMs: steps[from]!.startMs,
        what: `hold back ${kwh(energyWh)} of generation: nobody pays for it`,
      });
      from = -1;
      energyWh = 0;
    }
  }
  return lines;
}

/** 1.2 kWh. */
function kwh(energyWh: number): string {
  return `${(energyWh / 1000).toFixed(energyWh < 100 ? 2 : 1)} kWh`;
}

/** Price of a kWh in ¤ (10^6 µ¤): 29 000 µ¤/Wh is 29.00 ¤/kWh. */
function price(ucPerWh: number): string {
  return `${(ucPerWh / 1000).toFixed(2)} ¤/kWh`;
}

function clockTime(atMs: number): string {
  return isoSeconds(atMs).slice(11, 16);
}
