// The demo's planning system of the factory: a customer's program that knows its shifts and states the demand of the next intervals at the
// gateway's door, with a bearer token. It plans in whole tenths of a kWh from the same schedule that drives the machines.

import type { Clock } from '../base/clock.ts';
import { intervalAt, intervalStartMs, isoSeconds } from '../base/interval.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Series } from '../simulator/physics/series.ts';
import { energyOfSeriesWh } from './past.ts';

/** It looks at its plan this often, wall ms. */
const TICK_MS = 1_000;
/** Intervals stated ahead. */
const AHEAD = 4;
const STEP_WH = 100;

export function createPlanner(options: {
  url: string;
  token: string;
  schedule: Series;
  genesis: Genesis;
  clock: Clock;
  onTrouble: (what: string) => void;
}): { stop(): void } {
  const { url, token, schedule, genesis, clock, onTrouble } = options;
  const { lengthMs } = genesis.interval;
  let stated = 0;
  let busy = false;

  async function state(): Promise<void> {
    const first = intervalAt(clock.chainMs(), lengthMs) + 1;
    if (busy || first <= stated) return;
    busy = true;
    const demands = Array.from({ length: AHEAD }, (_, i) => {
      const startMs = intervalStartMs(first + i, lengthMs);
      const energyWh = energyOfSeriesWh(schedule, startMs, startMs + lengthMs) ?? 0;
      return { start: isoSeconds(startMs), energyWh: Math.round(energyWh / STEP_WH) * STEP_WH };
    });
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ demands }),
      });
      if (response.ok) stated = first;
      else onTrouble(`the planning system's demand was refused: ${response.status} ${await response.text()}`);
    } catch {
      // The gateway is not up yet, or again: the next look tries once more.
    } finally {
      busy = false;
    }
  }
  const timer = setInterval(() => void state(), TICK_MS);
  return { stop: () => clearInterval(timer) };
}
