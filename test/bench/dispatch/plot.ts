// A picture of control: two intervals under drawn clouds and steps of load, their powers second by second, and the energy delivered against the
// straight line to the position. SVG text.

import { seededRandom } from '../../../src/base/random.ts';
import { CONFIG, CONNECTION, run } from '../../dispatch/plant.ts';

const INTERVAL_S = 900;
const POSITIONS_WH = [350, -250] as const;
const WIDTH = 960;
const LEFT = 64;
const RIGHT = 12;
const GAP = 34;
/** A point of a curve for so many seconds: the picture lies in the repository. */
const POINT_S = 3;
const PANELS = [
  { title: 'Power, W: surplus without battery (grey), battery (green, + discharging), net export (blue)', height: 250 },
  { title: 'Energy delivered in the interval, Wh (blue), the straight line to its position (dashed)', height: 170 },
] as const;

interface Curve {
  readonly values: readonly number[];
  readonly stroke: string;
  readonly isDashed?: true;
}

export function plotControl(): string {
  const random = seededRandom(4);
  const clouds = Array.from({ length: 60 }, () => 600 + 5_400 * random());
  const kettle = Array.from({ length: 30 }, () => (random() < 0.4 ? 2_000 : 0));
  const seconds = POSITIONS_WH.length * INTERVAL_S;
  const { ticks } = run(seconds, {
    config: { ...CONFIG, connection: { ...CONNECTION, importLimitW: 6_000, exportLimitW: 6_000 } },
    noise: 0.01,
    percent: 50,
    // A cloud comes and goes within a dozen seconds.
    generationW(s) {
      const at = s / 30;
      const [from, to] = [clouds[Math.floor(at)]!, clouds[Math.floor(at) + 1] ?? 0];
      return from + (to - from) * Math.max(0, (at % 1) * 3 - 2);
    },
    consumptionW: (s) => 300 + kettle[Math.floor(s / 60)]!,
    positionWh: (interval) => POSITIONS_WH[interval] ?? 0,
  });
  const delivered: number[] = [];
  const line: number[] = [];
  for (const { second, gridW } of ticks) {
    const within = second % INTERVAL_S;
    delivered.push((within === 0 ? 0 : delivered.at(-1)!) - gridW / 3_600);
    line.push(((POSITIONS_WH[Math.floor(second / INTERVAL_S)] ?? 0) * within) / INTERVAL_S);
  }
  const curves: readonly (readonly Curve[])[] = [
    [
      { values: ticks.map(({ generationW, consumptionW }) => generationW - consumptionW), stroke: '#9ca3af' },
      { values: ticks.map(({ gridW }) => -gridW), stroke: '#2563eb' },
      { values: ticks.map(({ batteryW }) => batteryW), stroke: '#15803d' },
    ],
    [
      { values: line, stroke: '#111', isDashed: true },
      { values: delivered, stroke: '#2563eb' },
    ],
  ];
  let top = 0;
  const parts = PANELS.map(({ title, height }, i) => {
    const drawn = panel(title, top + GAP, height, curves[i]!);
    top += GAP + height;
    return drawn;
  });
  const height = top + GAP;
  const x = (s: number): string => (LEFT + (s / seconds) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const minutes = Array.from({ length: seconds / 300 + 1 }, (_, k) => k * 300).map(
    (s) => `<text x="${x(s)}" y="${height - 14}" text-anchor="middle">${s / 60} min</text>`,
  );
  const edge = `<line x1="${x(INTERVAL_S)}" x2="${x(INTERVAL_S)}" y1="${GAP}" y2="${top}" stroke="#b91c1c"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...parts,
    edge,
    ...minutes,
    '</svg>\n',
  ].join('\n');
}

function panel(title: string, top: number, height: number, curves: readonly Curve[]): string {
  const all = curves.flatMap(({ values }) => values);
  const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
  const y = (value: number): number => top + height - ((value - low) / (high - low)) * height;
  const lines = curves.map(({ values, stroke, isDashed }) => {
    const points = values.flatMap((value, i) => {
      const x = LEFT + (i / (values.length - 1)) * (WIDTH - LEFT - RIGHT);
      return i % POINT_S === 0 ? [`${x.toFixed(0)},${y(value).toFixed(0)}`] : [];
    });
    const dash = isDashed === true ? ' stroke-dasharray="5 4"' : '';
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${stroke}" stroke-width="1.2"${dash}/>`;
  });
  const marks = [low, 0, high].map(
    (value) => `<text x="${LEFT - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${Math.round(value)}</text>`,
  );
  const zero = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(0)}" y2="${y(0)}" stroke="#ddd"/>`;
  return [`<text x="${LEFT}" y="${top - 10}" font-size="13">${title}</text>`, zero, ...marks, ...lines].join('\n');
}
