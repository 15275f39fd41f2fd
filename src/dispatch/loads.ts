// When loads run. First contents: each load in turn takes the cheapest intervals it may run in.

import type { EnergyLoad, PlanLoad, ProgramLoad } from './equipment.ts';
import type { LoadPlan, PlanInput } from './plan-types.ts';
import { type Exchange, exchangeCost, type Storage } from './value.ts';

/** Powers of each load in each interval of the plan. */
export function scheduleLoads(
  input: PlanInput,
  exchanges: readonly Exchange[],
  _storage: Storage | null,
  _storedWh: number,
): LoadPlan[] {
  const netWh = exchanges.map((x) => x.netWh);
  return input.loads.map((load: PlanLoad) => {
    const plan =
      load.kind === 'program' ? program(load, input, exchanges, netWh) : energy(load, input, exchanges, netWh);
    for (const [t, powerW] of plan.powersW.entries()) netWh[t]! += (powerW * input.intervalMs) / 3_600_000;
    return plan;
  });
}

function extraCost(x: Exchange, netWh: number, moreWh: number): number {
  return (
    exchangeCost({ ...x, netWh: netWh + moreWh }, -netWh - moreWh).costUc - exchangeCost({ ...x, netWh }, -netWh).costUc
  );
}

function program(
  load: ProgramLoad,
  input: PlanInput,
  exchanges: readonly Exchange[],
  netWh: readonly number[],
): LoadPlan {
  const hours = input.intervalMs / 3_600_000;
  const powersW = new Array<number>(exchanges.length).fill(0);
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let from = 0; from + load.powersW.length <= exchanges.length; from++) {
    const startMs = input.intervals[from]!.startMs;
    if (startMs < load.earliestMs || startMs + load.powersW.length * input.intervalMs > load.deadlineMs) continue;
    const cost = load.powersW.reduce(
      (sum, w, i) => sum + extraCost(exchanges[from + i]!, netWh[from + i]!, w * hours),
      0,
    );
    if (cost < least) {
      least = cost;
      best = from;
    }
  }
  if (best >= 0) for (const [i, powerW] of load.powersW.entries()) powersW[best + i] = powerW;
  return { id: load.id, powersW, met: best >= 0 };
}

function energy(
  load: EnergyLoad,
  input: PlanInput,
  exchanges: readonly Exchange[],
  netWh: readonly number[],
): LoadPlan {
  const hours = input.intervalMs / 3_600_000;
  const powersW = new Array<number>(exchanges.length).fill(0);
  const powerW = load.powersW.at(-1) ?? 0;
  const allowed = exchanges
    .map((x, t) => ({ t, cost: extraCost(x, netWh[t]!, powerW * hours) }))
    .filter(({ t }) => {
      const startMs = input.intervals[t]!.startMs;
      return startMs >= load.earliestMs && startMs + input.intervalMs <= load.deadlineMs;
    })
    .sort((a, b) => a.cost - b.cost || a.t - b.t);
  let leftWh = load.needWh;
  for (const { t } of allowed) {
    if (leftWh <= 0 || powerW <= 0) break;
    powersW[t] = powerW;
    leftWh -= powerW * hours;
  }
  return { id: load.id, powersW, met: leftWh <= 0 };
}
