// A day's plan as a picture (`npm run bench -- dispatch --plot-plan FILE.svg`): prices with the value of stored energy, what flows, what is stored, and
// what stored energy is worth at three times of the day. A made-up house, so that everybody draws the same.

import type { PlanLoad } from '../../../src/dispatch/equipment.ts';
import { planSite } from '../../../src/dispatch/plan.ts';
import type { Plan, PlanInput, StoredValue } from '../../../src/dispatch/plan-types.ts';
import { BATTERY, problem } from '../../dispatch/problems.ts';

const WIDTH = 960;
const LEFT = 60;
const RIGHT = 150;
const PANEL = 150;
const GAP = 34;
const DAY = 96;
/** Intervals whose value of stored energy is drawn: 06:00, 12:00 and 20:00. */
const TIMES = [24, 48, 80] as const;
const COLOURS = ['#2563eb', '#ea580c', '#7c3aed'] as const;

interface Line {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
}

/** The picture as SVG text. */
export function plotPlan(): string {
  const input = house();
  return drawing(input, planSite(input));
}

function house(): PlanInput {
  const hours = Array.from({ length: DAY }, (_, t) => t / 4);
  const base = problem(
    hours.map((hour) => ({
      generationWh: 1300 * Math.max(0, Math.sin(((hour - 6) / 13) * Math.PI)) ** 1.3,
      consumptionWh: 90 + 160 * Math.exp(-((hour - 19.5) ** 2) / 4) + 90 * Math.exp(-((hour - 7.5) ** 2) / 2),
      buyUcPerWh: hour >= 17 && hour < 21 ? 38_000 : hour >= 6 && hour < 22 ? 30_000 : 22_000,
      sellUcPerWh: 8000,
    })),
    {
      batteries: [
        {
          battery: {
            ...BATTERY,
            chargeTaper: [
              { percent: 80, powerW: 5000 },
              { percent: 100, powerW: 500 },
            ],
          },
          storedWh: 2000,
        },
      ],
    },
  );
  const startMs = base.intervals[0]!.startMs;
  const at = (hour: number): number => startMs + hour * 3_600_000;
  const energy = { kind: 'energy' as const, on: false, sinceMs: Number.NEGATIVE_INFINITY };
  const loads: PlanLoad[] = [
    { kind: 'program', id: 'dishwasher', powersW: [2000, 200, 200, 1800, 100], earliestMs: at(8), deadlineMs: at(20) },
    {
      ...energy,
      id: 'car',
      needWh: 6000,
      powersW: [1400, 2300, 3600],
      minOnMs: 0,
      minOffMs: 0,
      earliestMs: at(0),
      deadlineMs: at(16),
    },
    {
      ...energy,
      id: 'heat pump',
      needWh: 3000,
      powersW: [1500],
      minOnMs: 3_600_000,
      minOffMs: 3_600_000,
      earliestMs: at(10),
      deadlineMs: at(24),
    },
  ];
  return { ...base, loads };
}

function drawing(input: PlanInput, plan: Plan): string {
  const hours = input.intervalMs / 3_600_000;
  const { steps, storedValues } = plan;
  const power = (of: (step: (typeof steps)[number]) => number): number[] =>
    steps.map((step) => of(step) / hours / 1000);
  const panels: { title: string; lines: Line[] }[] = [
    {
      title: 'ct/kWh',
      lines: [
        { name: 'buying', colour: '#b91c1c', values: input.intervals.map((x) => x.buyUcPerWh / 1000) },
        { name: 'selling', colour: '#15803d', values: input.intervals.map((x) => x.sellUcPerWh / 1000) },
        {
          name: 'next stored kWh',
          colour: '#2563eb',
          values: storedValues.map((values, t) => valueAbove(values, steps[t]!.storedEndWh) / 1000),
        },
      ],
    },
    {
      title: 'kW',
      lines: [
        { name: 'generation', colour: '#eab308', values: power((step) => step.generationWh) },
        { name: 'consumption', colour: '#111', values: power((step) => step.consumptionWh) },
        { name: 'battery (+ gives)', colour: '#2563eb', values: power((step) => step.batteryWh) },
        { name: 'grid (+ import)', colour: '#b91c1c', values: power((step) => step.gridWh) },
      ],
    },
    {
      title: 'loads, kW',
      lines: plan.loads.map(({ id, powersW }, l) => ({
        name: id,
        colour: COLOURS[l]!,
        values: powersW.map((w) => w / 1000),
      })),
    },
    {
      title: 'stored, kWh',
      lines: [{ name: 'stored', colour: '#2563eb', values: steps.map((step) => step.storedEndWh / 1000) }],
    },
  ];
  const top = (panel: number): number => 24 + panel * (PANEL + GAP);
  const body = panels.map(({ title, lines }, i) => byTime(title, lines, top(i)));
  body.push(valueCurves(input, storedValues, top(panels.length)));
  const height = top(panels.length) + PANEL + GAP;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${body.join('\n')}
</svg>
`;
}

/** Value of the next Wh above what is stored; where the battery is full, of the last one. */
function valueAbove(values: readonly StoredValue[], storedWh: number): number {
  return (values.find(({ upToWh }) => upToWh > storedWh + 1) ?? values.at(-1))?.valueUcPerWh ?? 0;
}

function byTime(title: string, lines: readonly Line[], top: number): string {
  const count = lines[0]!.values.length;
  const x = (t: number): number => LEFT + (t / count) * (WIDTH - LEFT - RIGHT);
  const ticks = Array.from(
    { length: 9 },
    (_, i) => [x((i * count) / 8), `${String(i * 3).padStart(2, '0')}:00`] as const,
  );
  const points = lines.map(({ values }) =>
    values.flatMap((value, t) => [[x(t), value] as const, [x(t + 1), value] as const]),
  );
  return panel(title, lines, points, ticks, top);
}

function valueCurves(input: PlanInput, storedValues: Plan['storedValues'], top: number): string {
  const fullWh = input.batteries[0]!.battery.capacityWh;
  const x = (wh: number): number => LEFT + (wh / fullWh) * (WIDTH - LEFT - RIGHT);
  const lines = TIMES.map((t, i) => ({
    name: `at ${String(t / 4).padStart(2, '0')}:00`,
    colour: COLOURS[i]!,
    values: [],
  }));
  const points = TIMES.map((t) => {
    let from = (fullWh * input.batteries[0]!.battery.reservePercent) / 100;
    return storedValues[t - 1]!.flatMap(({ upToWh, valueUcPerWh }) => {
      const step = [[x(from), valueUcPerWh / 1000] as const, [x(upToWh), valueUcPerWh / 1000] as const];
      from = upToWh;
      return step;
    });
  });
  const ticks = [0, 2, 4, 6, 8, 10].map((kwh) => [x(kwh * 1000), `${kwh} kWh`] as const);
  return panel('value of a kWh, by what is stored, ct', lines, points, ticks, top);
}

function panel(
  title: string,
  lines: readonly Line[],
  points: readonly (readonly (readonly [number, number])[])[],
  ticks: readonly (readonly [number, string])[],
  top: number,
): string {
  const all = points.flat().map(([, value]) => value);
  const [low, high] = [Math.min(0, ...all), Math.max(1, ...all)];
  const y = (value: number): number => top + PANEL - ((value - low) / (high - low)) * PANEL;
  const grid = [...new Set([low, 0, high])].map(
    (value) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${Number(value.toFixed(1))}</text>`,
  );
  const times = ticks.map(
    ([at, text]) => `<text x="${at.toFixed(1)}" y="${top + PANEL + 14}" text-anchor="middle">${text}</text>`,
  );
  const drawn = lines.map(({ name, colour }, i) => {
    const path = points[i]!.map(([at, value]) => `${at.toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    return (
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.6"/>` +
      `<text x="${WIDTH - RIGHT + 8}" y="${top + 14 + i * 16}" fill="${colour}">${name}</text>`
    );
  });
  return [`<text x="${LEFT}" y="${top - 6}" font-size="12">${title}</text>`, ...grid, ...times, ...drawn].join('\n');
}
