// A small site to control: lagging batteries, a meter that answers late with noise and coarse counters, sun and loads.
// Truth is integrated every step; control only sees what a meter would tell. Wall time and chain time run as one (rate 1).

import { seededRandom } from '../../src/base/random.ts';
import { control, initialControlState } from '../../src/dispatch/control.ts';
import type {
  Connection,
  ControlConfig,
  ControlInput,
  ControlOutput,
  ControlState,
  Measured,
} from '../../src/dispatch/control-types.ts';
import { BATTERY } from './problems.ts';

export const CONNECTION: Connection = {
  importLimitW: 20_000,
  exportLimitW: 20_000,
  phaseLimitW: 8000,
  phases: ['L1', 'L2', 'L3'],
  defaultImportLimitW: 5000,
  defaultExportLimitW: 2000,
};

export const CONFIG: ControlConfig = {
  batteries: [
    { battery: BATTERY, device: 'inverter', phases: ['L1', 'L2', 'L3'], lagMs: 2000, deadBandW: 20, stepW: 1 },
  ],
  generators: [{ id: 'roof', ratedW: 8000, phases: ['L1', 'L2', 'L3'], curtailable: true }],
  loads: [],
  connection: CONNECTION,
  staleAfterMs: 5000,
  meterDelayMs: 1000,
  counterStepWh: 1,
  edgeDelayChainMs: 5000,
  edgeRampChainMs: 30_000,
};

export interface PlantOptions {
  readonly config?: ControlConfig;
  readonly seed?: number;
  readonly noise?: number;
  readonly intervalMs?: number;
  readonly percent?: number;
  /** Consumption that nobody controls, and generation that is possible, at a second. */
  readonly consumptionW: (second: number) => number;
  readonly generationW: (second: number) => number;
  readonly positionWh: (interval: number) => number | null;
  /** Changes to what control is told. */
  readonly input?: (input: ControlInput, second: number) => ControlInput;
  /** A restarted gateway forgets its state at this second. */
  readonly restartAt?: number;
}

export interface Tick {
  readonly second: number;
  /** Truth: + import. */
  readonly gridW: number;
  readonly batteryW: number;
  readonly generationW: number;
  readonly consumptionW: number;
  /** State of charge. */
  readonly percent: number;
  readonly output: ControlOutput;
}

export interface Delivered {
  readonly interval: number;
  readonly positionWh: number | null;
  readonly exportedWh: number;
}

export interface Run {
  readonly ticks: Tick[];
  readonly delivered: Delivered[];
  readonly percent: number;
}

const STEP_MS = 100;
const TICK_MS = 1000;

/** Runs the plant under control for some seconds. */
export function run(seconds: number, options: PlantOptions): Run {
  const config = options.config ?? CONFIG;
  const intervalMs = options.intervalMs ?? 900_000;
  const random = seededRandom(options.seed ?? 1);
  const noise = options.noise ?? 0;
  const unit = config.batteries[0];
  let state: ControlState = initialControlState();
  let storedWh = ((unit?.battery.capacityWh ?? 0) * (options.percent ?? 50)) / 100;
  let setpointW = 0;
  let batteryW = 0;
  let limitW = Number.POSITIVE_INFINITY;
  let generationW = 0;
  let importWh = 12_345.6;
  let exportWh = 6543.2;
  const seen: { atMs: number; gridW: number; importWh: number; exportWh: number }[] = [];
  const loadsOn = new Map<string, number>();
  const ticks: Tick[] = [];
  const delivered: Delivered[] = [];
  let start = { importWh: 0, exportWh: 0, trueExportWh: 0 };
  let trueExportWh = 0;
  const count = (wh: number): number => Math.floor(wh / config.counterStepWh) * config.counterStepWh;
  for (let ms = 0; ms < seconds * 1000; ms += STEP_MS) {
    const second = ms / 1000;
    const loadsW = [...loadsOn.values()].reduce((sum, w) => sum + w, 0);
    const consumptionW = options.consumptionW(second) + loadsW;
    // Inverters follow their set-points with a lag; generation is held back the same way.
    batteryW += (setpointW - batteryW) * (1 - Math.exp(-STEP_MS / Math.max(1, unit?.lagMs ?? 1)));
    const possibleW = options.generationW(second);
    const wantedW = Math.min(possibleW, limitW);
    generationW =
      wantedW < generationW ? generationW + (wantedW - generationW) * (1 - Math.exp(-STEP_MS / 1000)) : wantedW;
    generationW = Math.min(generationW, possibleW);
    const battery = unit?.battery;
    if (battery !== undefined) {
      if (batteryW > 0 && storedWh <= 0) batteryW = 0;
      if (batteryW < 0 && storedWh >= battery.capacityWh) batteryW = 0;
      const wh = (batteryW * STEP_MS) / 3_600_000;
      storedWh -= wh > 0 ? wh / battery.dischargeEfficiency : wh * battery.chargeEfficiency;
    }
    const gridW = consumptionW - generationW - batteryW;
    const wh = (gridW * STEP_MS) / 3_600_000;
    if (wh > 0) importWh += wh;
    else exportWh -= wh;
    trueExportWh -= wh;
    seen.push({ atMs: ms, gridW, importWh, exportWh });
    if (seen.length > 100) seen.shift();
    if (ms % TICK_MS !== 0) continue;
    const interval = Math.floor(ms / intervalMs);
    const metered = seen.findLast(({ atMs }) => atMs <= ms - config.meterDelayMs) ?? seen[0]!;
    if (ms % intervalMs === 0) {
      if (interval > 0)
        delivered.push({
          interval: interval - 1,
          positionWh: options.positionWh(interval - 1),
          exportedWh: trueExportWh - start.trueExportWh,
        });
      start = { importWh: count(metered.importWh), exportWh: count(metered.exportWh), trueExportWh };
    }
    if (options.restartAt === second) state = initialControlState();
    const good = (value: number): Measured => ({ value, quality: 'good', monotonicMs: ms });
    const noisy = (value: number): Measured => good(value * (1 + noise * (random() + random() + random() - 1.5) * 2));
    const grid = noisy(metered.gridW);
    const percent = battery === undefined ? 0 : (storedWh / battery.capacityWh) * 100;
    const input: ControlInput = {
      monotonicMs: ms,
      chainRate: 1,
      interval: { number: interval, chainElapsedMs: ms % intervalMs, chainRemainingMs: intervalMs - (ms % intervalMs) },
      positionWh: options.positionWh(interval),
      shortfallUcPerWh: 40_000,
      surplusUcPerWh: 2000,
      storedValue: [{ upToWh: battery?.capacityWh ?? 0, valueUcPerWh: 15_000 }],
      loadPowersW: new Map(),
      gridPowerW: grid,
      gridPhasePowersW: new Map(),
      importRiseWh: count(metered.importWh) - start.importWh,
      exportRiseWh: count(metered.exportWh) - start.exportWh,
      batteries:
        battery === undefined
          ? []
          : [
              {
                id: battery.id,
                powerW: noisy(batteryW),
                stateOfChargePercent: good(percent),
                chargePowerMaxW: null,
                dischargePowerMaxW: null,
              },
            ],
      generatorPowersW: new Map(config.generators.map(({ id }) => [id, noisy(generationW)])),
      loadStates: new Map(),
      orders: [],
      overrides: [],
      operatorReachable: true,
      clockSynchronised: true,
      offGrid: false,
    };
    const output = control(config, state, options.input?.(input, second) ?? input);
    state = output.state;
    for (const { device, control: name, value } of output.setpoints) {
      if (name === 'batterySetpointW') setpointW = value ?? 0;
      if (name === 'generationLimitW') limitW = value ?? Number.POSITIVE_INFINITY;
      const load = config.loads.find((one) => one.device === device && one.control === name);
      if (load !== undefined && value !== null) loadsOn.set(load.id, value === 0 ? 0 : load.ratedW);
    }
    ticks.push({ second, gridW, batteryW, generationW, consumptionW, percent, output });
  }
  return { ticks, delivered, percent: unit === undefined ? 0 : (storedWh / unit.battery.capacityWh) * 100 };
}
