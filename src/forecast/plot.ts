// A picture of forecasts against what came, as SVG text: the 90 and 50 % bands, the median and the truth.

import { isoSeconds } from '../base/interval.ts';
import type { Millis, Watts } from '../base/units.ts';
import { MEDIAN } from './types.ts';

export interface PlottedStep {
  readonly startMs: Millis;
  readonly quantilesW: readonly Watts[];
  /** NaN where it is not known. */
  readonly actualW: Watts;
}

const WIDTH = 960;
const HEIGHT = 320;
const MARGIN = { left: 64, right: 12, top: 28, bottom: 28 };

/** Draws steps in order of time. */
export function plotForecasts(title: string, steps: readonly PlottedStep[]): string {
  const first = steps[0]?.startMs ?? 0;
  const last = steps.at(-1)?.startMs ?? 1;
  const values = steps.flatMap(({ quantilesW, actualW }) => [...quantilesW, actualW]).filter(Number.isFinite);
  const low = values.reduce((least, value) => Math.min(least, value), 0);
  const high = values.reduce((most, value) => Math.max(most, value), low + 1);
  const x = (atMs: Millis): number =>
    MARGIN.left + ((atMs - first) / Math.max(1, last - first)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value: Watts): number =>
    HEIGHT - MARGIN.bottom - ((value - low) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const point = (step: PlottedStep, value: Watts): string => `${x(step.startMs).toFixed(1)},${y(value).toFixed(1)}`;
  const band = (from: number, to: number, opacity: number): string => {
    const upper = steps.map((step) => point(step, step.quantilesW[to] as number));
    const lower = steps.map((step) => point(step, step.quantilesW[from] as number)).reverse();
    return `<polygon points="${[...upper, ...lower].join(' ')}" fill="#2563eb" fill-opacity="${opacity}"/>`;
  };
  const median = steps.map((step) => point(step, step.quantilesW[MEDIAN] as number)).join(' ');
  const truth = runsOf(steps)
    .map(
      (run) =>
        `<polyline points="${run.map((step) => point(step, step.actualW)).join(' ')}" fill="none" stroke="#111" stroke-width="1.2"/>`,
    )
    .join('');
  const days: string[] = [];
  for (let day = Math.ceil(first / 86_400_000) * 86_400_000; day <= last; day += 86_400_000) {
    const at = x(day).toFixed(1);
    days.push(
      `<line x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${HEIGHT - MARGIN.bottom}" stroke="#ddd"/>` +
        `<text x="${at}" y="${HEIGHT - 10}" text-anchor="middle">${isoSeconds(day).slice(5, 10)}</text>`,
    );
  }
  const marks = [low, (low + high) / 2, high].map(
    (value) => `<text x="${MARGIN.left - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${watts(value)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${MARGIN.left}" y="16" font-size="13">${escaped(title)}: measured (black), median and 50 / 90 % bands (blue)</text>`,
    ...days,
    ...marks,
    band(0, 6, 0.15),
    band(2, 4, 0.3),
    `<polyline points="${median}" fill="none" stroke="#2563eb" stroke-width="1.2"/>`,
    truth,
    '</svg>\n',
  ].join('\n');
}

/** Stretches without a gap in the truth. */
function runsOf(steps: readonly PlottedStep[]): PlottedStep[][] {
  const runs: PlottedStep[][] = [[]];
  for (const step of steps) {
    if (Number.isFinite(step.actualW)) runs.at(-1)?.push(step);
    else if (runs.at(-1)?.length) runs.push([]);
  }
  return runs.filter((run) => run.length > 0);
}

function watts(value: Watts): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)} MW`;
  return size >= 1e3 ? `${(value / 1e3).toFixed(1)} kW` : `${value.toFixed(0)} W`;
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
