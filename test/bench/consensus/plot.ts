// How latency and messages grow with the validators, as a picture: both axes logarithmic, plain SVG.

import type { Latency } from './growth.ts';

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = 60;

export function growthPlot(points: readonly Latency[]): string {
  const rows = (over: Latency['over']): readonly Latency[] => points.filter((point) => point.over === over);
  const lines = [
    { name: 'ms, embedded broker', colour: '#1b6ca8', at: rows('embedded').map((p) => [p.validators, p.medianMs]) },
    { name: 'ms, mosquitto', colour: '#3a7d44', at: rows('mosquitto').map((p) => [p.validators, p.medianMs]) },
    {
      name: 'messages delivered',
      colour: '#b3541e',
      at: rows('mosquitto').map((p) => [p.validators, p.messages?.delivered ?? 0]),
    },
  ].filter(({ at }) => at.length > 0) as { name: string; colour: string; at: [number, number][] }[];
  const sizes = [...new Set(points.map(({ validators }) => validators))];
  const values = lines.flatMap(({ at }) => at.map(([, value]) => Math.log10(value)));
  const [low, high] = [Math.floor(Math.min(...values)), Math.ceil(Math.max(...values))];
  const [left, right] = [Math.log10(Math.min(...sizes)), Math.log10(Math.max(...sizes))];
  const x = (n: number): number => MARGIN + ((Math.log10(n) - left) / (right - left)) * (WIDTH - 2 * MARGIN);
  const y = (v: number): number => HEIGHT - MARGIN - ((Math.log10(v) - low) / (high - low)) * (HEIGHT - 2 * MARGIN);
  const parts: string[] = [];
  for (const n of sizes) {
    parts.push(`<line x1="${x(n)}" x2="${x(n)}" y1="${y(10 ** low)}" y2="${y(10 ** high)}" stroke="#ddd"/>`);
    parts.push(`<text x="${x(n)}" y="${HEIGHT - MARGIN + 20}" text-anchor="middle">${n}</text>`);
  }
  for (let power = low; power <= high; power++) {
    const at = y(10 ** power);
    parts.push(`<line x1="${MARGIN}" x2="${WIDTH - MARGIN}" y1="${at}" y2="${at}" stroke="#ddd"/>`);
    parts.push(`<text x="${MARGIN - 8}" y="${at + 4}" text-anchor="end">${10 ** power}</text>`);
  }
  for (const [row, { name, colour, at }] of lines.entries()) {
    const path = at.map(([n, value]) => `${x(n).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const [n, value] of at) {
      parts.push(`<circle cx="${x(n).toFixed(1)}" cy="${y(value).toFixed(1)}" r="3" fill="${colour}"/>`);
    }
    parts.push(`<text x="${MARGIN + 12}" y="${MARGIN + 8 + 16 * row}" fill="${colour}">${name}</text>`);
  }
  parts.push(
    `<text x="${WIDTH / 2}" y="${HEIGHT - 12}" text-anchor="middle">validators, a process each on two cores; one request at a time</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
