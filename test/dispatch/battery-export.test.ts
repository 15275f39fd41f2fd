// The site's word on what may leave the battery, in the closed loop of control, meter and inverter: `never` and `own-generation` hold whatever
// was traded, whatever prices say and whatever sun and loads do, and `yes` on the same site shows what they hold back.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.ts';
import type { ControlConfig, ControlInput } from '../../src/dispatch/control-types.ts';
import type { BatteryExport } from '../../src/site/types.ts';
import { CONFIG, type PlantOptions, run, type Tick } from './plant.ts';

const STEP_S = 60;
/** After a step of sun or load the meter tells it, and the inverter follows: nothing is judged meanwhile. */
const SETTLED_S = 20;
/** What the deadband for noise (1 % of the set-point) and the meter's own noise leave. */
const MARGIN_W = 120;

const withExport = (word: BatteryExport): ControlConfig => ({
  ...CONFIG,
  batteries: CONFIG.batteries.map((unit) => ({ ...unit, battery: { ...unit.battery, export: word } })),
});

/** Power of the battery that leaves the site, and power from the grid that goes into it. */
const leavingW = ({ batteryW, gridW }: Tick): number => Math.max(0, Math.min(batteryW, -gridW));
const boughtW = ({ batteryW, gridW }: Tick): number => Math.max(0, Math.min(-batteryW, gridW));
const settled = (ticks: readonly Tick[]): readonly Tick[] =>
  ticks.filter(({ second }) => second > SETTLED_S && second % STEP_S >= SETTLED_S);
const most = (ticks: readonly Tick[], of: (tick: Tick) => number): number => Math.max(...settled(ticks).map(of));
const energyWh = (ticks: readonly Tick[], of: (tick: Tick) => number): number =>
  ticks.reduce((sum, tick) => sum + of(tick) / 3600, 0);

/** Two intervals of sun and loads that step every minute, with trades and prices drawn: some make the battery want to sell or to fill up. */
function drawn(seed: number, word: BatteryExport): readonly Tick[] {
  const random = seededRandom(seed);
  const steps = (mostW: number) => Array.from({ length: 31 }, () => mostW * random() * (random() < 0.3 ? 0 : 1));
  const [sun, load] = [steps(6_000), steps(4_000)];
  const positions = [0, 1].map(() => Math.round(2_400 * random() - 1_200));
  const prices = [0, 1].map(() => {
    const [a, b, valueUcPerWh] = [40_000 * random(), 40_000 * random(), 40_000 * random()];
    return { buy: Math.max(a, b), sell: Math.min(a, b), valueUcPerWh };
  });
  const options: PlantOptions = {
    config: withExport(word),
    seed,
    noise: 0.003,
    percent: 30 + 40 * random(),
    consumptionW: (second) => load[Math.floor(second / STEP_S)] as number,
    generationW: (second) => sun[Math.floor(second / STEP_S)] as number,
    positionWh: (interval) => positions[interval] ?? 0,
    input: (input: ControlInput) => {
      const { buy, sell, valueUcPerWh } = prices[input.interval.number] ?? (prices[0] as (typeof prices)[0]);
      return {
        ...input,
        ...{ shortfallUcPerWh: buy, surplusUcPerWh: sell, storedValue: [{ upToWh: 10_000, valueUcPerWh }] },
      };
    },
  };
  return run(1_800, options).ticks;
}

const SEEDS = Array.from({ length: 12 }, (_, i) => 4_100 + i);

describe('whatever was traded and whatever it costs', () => {
  test.each(SEEDS)(
    'seed %i: with `never` nothing stored leaves, with `own-generation` nothing is bought into the store',
    (seed) => {
      expect(most(drawn(seed, 'never'), leavingW)).toBeLessThan(MARGIN_W);
      expect(most(drawn(seed, 'own-generation'), boughtW)).toBeLessThan(MARGIN_W);
    },
  );

  test('the same sites do both where the word is `yes`', () => {
    const free = SEEDS.map((seed) => drawn(seed, 'yes'));
    expect(free.filter((ticks) => most(ticks, leavingW) > 1_000).length).toBeGreaterThan(2);
    expect(free.filter((ticks) => most(ticks, boughtW) > 1_000).length).toBeGreaterThan(2);
  });
});

describe('what the words leave open', () => {
  const site = (word: BatteryExport, options: Partial<PlantOptions>) =>
    run(900, {
      config: withExport(word),
      consumptionW: () => 1_500,
      generationW: () => 0,
      positionWh: () => 0,
      ...options,
    });

  test('`never`: a sold trade is served as far as it keeps the site from importing, and no further', () => {
    const { ticks } = site('never', { positionWh: () => 500, percent: 80 });
    for (const { gridW } of ticks.slice(120)) expect(Math.abs(gridW)).toBeLessThan(60);
  });

  test('`never`: own generation may leave while the battery rests', () => {
    const { ticks, delivered } = run(901, {
      config: withExport('never'),
      consumptionW: () => 500,
      generationW: () => 3_000,
      positionWh: () => 600,
    });
    expect(delivered[0]?.exportedWh).toBeGreaterThan(590);
    expect(energyWh(ticks, leavingW)).toBeLessThan(1);
  });

  test('`never`: what was bought may be stored, for the site itself', () => {
    const { ticks } = site('never', { positionWh: () => -1_000, percent: 30 });
    expect(energyWh(ticks, boughtW)).toBeGreaterThan(500);
  });

  test('`own-generation`: what the roof gave is sold, and the store is filled from it', () => {
    const sold = site('own-generation', { positionWh: () => 500, percent: 80 });
    expect(energyWh(sold.ticks, leavingW)).toBeGreaterThan(450);
    const filled = site('own-generation', { generationW: () => 4_500, percent: 30 });
    expect(most(filled.ticks, ({ batteryW }) => -batteryW)).toBeGreaterThan(2_800);
  });

  test('`own-generation`: a bought trade is not put into the store', () => {
    const { ticks } = site('own-generation', { positionWh: () => -1_000, percent: 30 });
    expect(energyWh(ticks, boughtW)).toBeLessThan(1);
    expect(energyWh(site('yes', { positionWh: () => -1_000, percent: 30 }).ticks, boughtW)).toBeGreaterThan(500);
  });

  test('of several batteries the strictest word holds for all: they are driven as one', () => {
    const [unit] = withExport('yes').batteries;
    const strict = withExport('never').batteries[0];
    if (unit === undefined || strict === undefined) throw new Error('the plant has a battery');
    const config = {
      ...CONFIG,
      batteries: [unit, { ...strict, device: 'second', battery: { ...strict.battery, id: 'second' } }],
    };
    const { ticks } = run(1, {
      config,
      consumptionW: () => 800,
      generationW: () => 0,
      positionWh: () => 1_000,
      input: (input) => ({
        ...input,
        batteries: ['battery', 'second'].flatMap((id) => input.batteries.map((battery) => ({ ...battery, id }))),
      }),
    });
    const toldW = ticks[0]?.output.setpoints.reduce((sum, { value }) => sum + (value ?? 0), 0);
    expect(toldW).toBeCloseTo(800, -1);
  });
});
