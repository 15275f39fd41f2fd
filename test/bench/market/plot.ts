// Growth as a picture: CPU time over orders, both axes logarithmic, plain SVG.

import type { GrowthPoint } from './main.ts';

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = 60;
const COLOURS: Readonly<Record<string, string>> = { random: '#1b6ca8', path: '#b3541e', star: '#3a7d44' };

export function growthPlot(points: readonly GrowthPoint[]): string {
  const orders = points.map((point) => Math.log10(point.orders));
  const times = points.flatMap(({ clear, verify }) => [Math.log10(clear), Math.log10(verify)]);
  const [left, right] = [Math.min(...orders), Math.max(...orders)];
  const [low, high] = [Math.floor(Math.min(...times)), Math.ceil(Math.max(...times))];
  const x = (value: number): number => MARGIN + ((Math.log10(value) - left) / (right - left)) * (WIDTH - 2 * MARGIN);
  const y = (ms: number): number => HEIGHT - MARGIN - ((Math.log10(ms) - low) / (high - low)) * (HEIGHT - 2 * MARGIN);
  const parts: string[] = [];
  for (let power = Math.ceil(left); power <= right; power++) {
    const at = x(10 ** power);
    parts.push(`<line x1="${at}" x2="${at}" y1="${y(10 ** low)}" y2="${y(10 ** high)}" stroke="#ddd"/>`);
    parts.push(`<text x="${at}" y="${HEIGHT - MARGIN + 20}" text-anchor="middle">10^${power}</text>`);
  }
  for (let power = low; power <= high; power++) {
    const at = y(10 ** power);
    parts.push(`<line x1="${MARGIN}" x2="${WIDTH - MARGIN}" y1="${at}" y2="${at}" stroke="#ddd"/>`);
    parts.push(`<text x="${MARGIN - 8}" y="${at + 4}" text-anchor="end">${10 ** power} ms</text>`);
  }
  let row = 0;
  for (const shape of new Set(points.map((point) => point.shape))) {
    for (const what of ['clear', 'verify'] as const) {
      const own = points.filter((point) => point.shape === shape);
      const path = own.map((point) => `${x(point.orders).toFixed(1)},${y(point[what]).toFixed(1)}`).join(' ');
      const dash = what === 'verify' ? ' stroke-dasharray="4 3"' : '';
      const colour = COLOURS[shape] ?? '#333';
      parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"${dash}/>`);
      const at = MARGIN + 4 + 16 * row++;
      parts.push(
        `<line x1="${MARGIN + 12}" x2="${MARGIN + 40}" y1="${at}" y2="${at}" stroke="${colour}" stroke-width="2"${dash}/>`,
      );
      parts.push(`<text x="${MARGIN + 46}" y="${at + 4}">${what}, ${shape}</text>`);
    }
  }
  parts.push(
    `<text x="${WIDTH / 2}" y="${HEIGHT - 12}" text-anchor="middle">orders (ten a bus); milliseconds of CPU</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
