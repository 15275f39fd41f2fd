// Control of a simulated site second by second: an inverter with 2 s lag, a meter that answers 1 s late with 1 % noise
// and counts in 1, 10 or 100 Wh, loads that step by 2 kW, and a measured roof under measured clouds. Scored by the plant's truth.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { clamp } from '../../../src/base/integers.ts';
import { seededRandom } from '../../../src/base/random.ts';
import type { ControlInput } from '../../../src/dispatch/control-types.ts';
import { readSeries } from '../../../src/forecast/series-csv.ts';
import { CONFIG, CONNECTION, run, type Tick } from '../../dispatch/plant.ts';
import { DATA } from './sites.ts';

const INTERVAL_S = 900;
const STEP_S = 300;
/** Runs of so many intervals begin at a half-full battery on the brightest hours of a day. */
const RUN_INTERVALS = 16;
const COUNTS_WH = [1, 10, 100] as const;
/** An excess must end within the device's response, one bus cycle and a second, at most this. */
const EXCESS_S_MAX = 5;
const LIMIT_W = 6000;
/** What a control can use of the connection with a meter that is wrong by 1 % and a battery's by as much. */
const USABLE_W = 0.97 * LIMIT_W;
/** Trades use at most this share of the connection: control keeps free what meters may be wrong by. */
const TRADED_SHARE = 0.9;
const TRADE_WH_MAX = (TRADED_SHARE * LIMIT_W * INTERVAL_S) / 3600;

export interface ControlFigures {
  readonly intervals: number;
  readonly feasible: number;
  /** 99th percentile over feasible intervals of the deviation, % of the trade; deviations below 5 Wh (or one count) are 0. */
  readonly energyErrorPercent: number;
  /** Share of feasible intervals within 1 % or 5 Wh (or one count), and the least of the counters' resolutions. */
  readonly withinShare: number;
  readonly withinShareMin: number;
  readonly deviationP99Wh: number;
  readonly limitViolations: number;
  /** The same for export while the meter is silent for a minute and consumption and sun go on changing. */
  readonly limitViolationsSilentMeter: number;
}

/** `seed` draws loads, trades and noise; the days are the cloudiest ones whatever it is. */
export function benchControl(runs: number, seed: number): ControlFigures {
  const errors: number[] = [];
  const deviations: number[] = [];
  const shares: number[] = [];
  let intervals = 0;
  let limitViolations = 0;
  for (const counterStepWh of COUNTS_WH) {
    const before = errors.length;
    for (let k = 0; k < runs; k++) {
      const random = seededRandom(seed + 1000 + k);
      const sun = brightHours(k);
      const kettle = Array.from({ length: RUN_INTERVALS * 12 }, () => (random() < 0.35 ? 2000 : 0));
      const uncontrolled = {
        consumptionW: (s: number) => 300 + kettle[Math.floor(s / 75) % kettle.length]!,
        generationW: (s: number) => sun[Math.floor(s / STEP_S)] ?? 0,
      };
      const meanExportWh = (interval: number): number => {
        let sum = 0;
        for (let s = interval * INTERVAL_S; s < (interval + 1) * INTERVAL_S; s++)
          sum += uncontrolled.generationW(s) - uncontrolled.consumptionW(s);
        return sum / 3600;
      };
      // What was traded: the surplus as the interval before had it, and the battery a little either way.
      const wishes = Array.from({ length: RUN_INTERVALS + 1 }, (_, i) =>
        Math.round(clamp(meanExportWh(Math.max(0, i - 1)) + (random() - 0.5) * 1200, -TRADE_WH_MAX, TRADE_WH_MAX)),
      );
      const { ticks, delivered } = run(RUN_INTERVALS * INTERVAL_S + 1, {
        ...uncontrolled,
        seed: seed + k + 1,
        noise: 0.01,
        percent: 50,
        config: {
          ...CONFIG,
          counterStepWh,
          connection: { ...CONNECTION, importLimitW: LIMIT_W, exportLimitW: LIMIT_W },
        },
        positionWh: (i) => wishes[i]!,
      });
      limitViolations += violations(ticks);
      for (const { interval, positionWh, exportedWh } of delivered) {
        intervals++;
        const part = ticks.slice(interval * INTERVAL_S, (interval + 1) * INTERVAL_S);
        const deviation = Math.abs(exportedWh - (positionWh ?? 0));
        if (!feasible(part, positionWh ?? 0)) continue;
        deviations.push(deviation);
        errors.push(
          deviation <= Math.max(5, counterStepWh) ? 0 : (100 * deviation) / Math.max(1, Math.abs(positionWh ?? 0)),
        );
      }
    }
    const part = errors.slice(before);
    const share = part.filter((error) => error <= 1).length / part.length;
    shares.push(share);
    process.stdout.write(
      `  counts of ${counterStepWh} Wh: ${part.length} feasible intervals, ${(100 * share).toFixed(2)} % within 1 % or 5 Wh (or one count)\n`,
    );
  }
  const p99 = (values: readonly number[]): number =>
    [...values].sort((a, b) => a - b)[Math.floor(0.99 * (values.length - 1))]!;
  return {
    intervals,
    feasible: errors.length,
    energyErrorPercent: p99(errors),
    withinShare: errors.filter((error) => error <= 1).length / errors.length,
    withinShareMin: Math.min(...shares),
    deviationP99Wh: p99(deviations),
    limitViolations,
    limitViolationsSilentMeter: silentMeter(8 * runs, seed),
  };
}

/** Short runs near the limit of export in which the meter falls silent for a minute; excesses that last. */
function silentMeter(runs: number, seed: number): number {
  let count = 0;
  for (let k = 0; k < runs; k++) {
    const random = seededRandom(seed + 5000 + k);
    const kettle = Array.from({ length: 45 }, () => (random() < 0.5 ? 2000 : 0));
    const sun = Array.from({ length: 30 }, () => 7500 * random());
    const fromS = 200 + Math.floor(random() * 500);
    let last: ControlInput | null = null;
    const { ticks } = run(INTERVAL_S, {
      config: { ...CONFIG, connection: { ...CONNECTION, importLimitW: LIMIT_W, exportLimitW: LIMIT_W } },
      seed: seed + k + 1,
      noise: 0.01,
      percent: 50,
      consumptionW: (s) => 300 + kettle[Math.floor(s / 20)]!,
      generationW: (s) => sun[Math.floor(s / 30)]!,
      positionWh: () => (k % 2 === 0 ? TRADE_WH_MAX : TRADE_WH_MAX / 2),
      input(input, s) {
        if (s < fromS || s >= fromS + 60 || last === null) {
          last = input;
          return input;
        }
        const { gridPowerW } = last;
        return { ...input, gridPowerW, importRiseWh: null, exportRiseWh: null };
      },
    });
    count += violations(ticks.map((tick) => ({ ...tick, gridW: Math.min(0, tick.gridW) })));
  }
  return count;
}

/**
 * With foresight: a battery at its limits from the interval's start on could have met the trade, by power and by energy, within the connection's
 * limits less what the meter may be wrong by.
 */
function feasible(ticks: readonly Tick[], positionWh: number): boolean {
  const { battery } = CONFIG.batteries[0]!;
  const { giveWh, takeWh } = roomOf(ticks);
  let [surplusWh, least, most] = [0, 0, 0];
  for (const { consumptionW, generationW } of ticks) {
    const surplus = generationW - consumptionW;
    surplusWh += surplus / 3600;
    least += Math.max(-USABLE_W, surplus - battery.chargeLimitW) / 3600;
    most += Math.min(USABLE_W, surplus + battery.dischargeLimitW) / 3600;
  }
  return positionWh > Math.max(least, surplusWh - takeWh) && positionWh < Math.min(most, surplusWh + giveWh);
}

/** What the battery can give and take at its terminals from the interval's start. */
function roomOf(ticks: readonly Tick[]): { giveWh: number; takeWh: number } {
  const { battery } = CONFIG.batteries[0]!;
  const startWh = (ticks[0]!.percent * battery.capacityWh) / 100;
  return {
    giveWh: (startWh - (battery.capacityWh * battery.reservePercent) / 100) * battery.dischargeEfficiency,
    takeWh: (battery.capacityWh - startWh) / battery.chargeEfficiency,
  };
}

function violations(ticks: readonly Tick[]): number {
  let count = 0;
  let seconds = 0;
  for (const { gridW } of ticks) {
    seconds = Math.abs(gridW) > LIMIT_W ? seconds + 1 : 0;
    if (seconds === EXCESS_S_MAX + 1) count++;
  }
  return count;
}

let days: number[][] | undefined;

/** Four hours of measured power in steps of five minutes, from 10:00 local on a day with clouds; without data, of a drawn sky. */
function brightHours(k: number): number[] {
  days ??= measuredDays() ?? drawnDays();
  return days[k % days.length]!;
}

function measuredDays(): number[][] | null {
  const path = join(DATA, 'dev/pv/sdt_taefc_sma7kw_2016.csv.gz');
  if (!existsSync(path)) return null;
  const text = gunzipSync(readFileSync(path)).toString('utf8');
  const { samples } = readSeries(text, path, STEP_S * 1000);
  const byDay = new Map<number, number[]>();
  for (const { startMs, powerW } of samples) {
    // The site lies near 121 degrees west: 10:00 is 18:00 UTC.
    const hour = (startMs / 3_600_000) % 24;
    if (hour < 18 || hour >= 22) continue;
    const day = Math.floor(startMs / 86_400_000);
    byDay.set(day, [...(byDay.get(day) ?? []), powerW ?? 0]);
  }
  const cloudiness = (powers: readonly number[]): number =>
    powers.reduce((sum, p, i) => sum + Math.abs(p - (powers[i - 1] ?? p)), 0);
  return [...byDay.values()].filter((powers) => powers.length === 48).sort((a, b) => cloudiness(b) - cloudiness(a));
}

function drawnDays(): number[][] {
  const random = seededRandom(7);
  return Array.from({ length: 30 }, () => Array.from({ length: 48 }, () => 6000 * (0.2 + 0.8 * random())));
}
