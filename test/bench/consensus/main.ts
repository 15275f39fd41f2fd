// How fast the validators agree, as they run: a process each, MQTT between, SQLite below.
//   npm run bench -- consensus [--validators 4] [--warmup N requests] [--latency N requests] [--seconds S of throughput] [--window 4: requests that each gateway has open]
//                              [--requests N, instead of --seconds] [--gateways 120] [--grow 7,10,16,31] [--plot FILE.svg] [--steady N: memory of one validator alone]
//                              [--block N: what a request of a block of N costs one validator alone]
// A validator that has been up is warm: `--warmup` lonely requests come first and are not counted.
// Bounds are measured in the same run: a request needs 5 hops and 5 durable writes; a core can do so many signatures.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { pbftTerms } from '../../../src/consensus/pbft/core/terms.ts';
import { blockParts } from './block.ts';
import { startCluster } from './cluster.ts';
import { type Latency, lonelyLatency } from './growth.ts';
import { startLoad } from './load.ts';
import { cryptoMs, hopMs, median, quantile, writeMs } from './parts.ts';
import { growthPlot } from './plot.ts';
import { steadyMemory } from './steady.ts';

/** Hops and durable writes between a request and its 51 %. */
const STEPS = 5;
/** Memory grows from the second tenth of a run to its last, each by its median: a single look sees where the collector stands. */
const SETTLED = [0.1, 0.2] as const;
const LAST = [0.9, 1] as const;
/** How often it is looked at. */
const LOOK_MS = 500;
/** How long blocks are watched after the primary's end. */
const RECOVERY_SEEN_MS = 5_000;

export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      validators: { type: 'string', default: '4' },
      warmup: { type: 'string', default: '2000' },
      latency: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '20' },
      requests: { type: 'string' },
      window: { type: 'string', default: '4' },
      gateways: { type: 'string', default: '120' },
      grow: { type: 'string' },
      steady: { type: 'string' },
      block: { type: 'string' },
      plot: { type: 'string' },
    },
  });
  if (values.steady !== undefined) {
    process.stdout.write(`${JSON.stringify({ steady: await steadyMemory(Number(values.steady)) })}\n`);
    return;
  }
  if (values.block !== undefined) {
    process.stdout.write(`${JSON.stringify({ blockUsPerRequest: await blockParts(Number(values.block)) })}\n`);
    return;
  }
  const n = Number(values.validators);
  const cluster = await startCluster(n, Number(values.gateways));
  try {
    const load = await startLoad(cluster);
    const names = [...cluster.gateways.keys()];
    const verdicts = new Map<string, number>();
    const ask = async (gateway: string): Promise<number> => {
      const { tookMs, verdict } = await load.ask(gateway);
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
      return tookMs;
    };
    for (let i = 0; i < Number(values.warmup); i++) await ask(names[i % names.length] as string);

    const hop = await hopMs();
    const write = writeMs(cluster.folder);
    const crypto = cryptoMs();
    const times: number[] = [];
    const cpuAtRest = cluster.cpuMs();
    for (let i = 0; i < Number(values.latency); i++) times.push(await ask(names[i % names.length] as string));
    const boundMs = STEPS * (hop + write);

    const cpuBefore = cluster.cpuMs();
    const cpuAloneMs = (cpuBefore - cpuAtRest) / times.length;
    const startedMs = performance.now();
    const blocksBefore = load.blockTimes.length;
    // By time, or by a number of requests: for what only shows in the long run.
    const wanted = values.requests === undefined ? Number.POSITIVE_INFINITY : Number(values.requests);
    const untilMs =
      values.requests === undefined ? startedMs + Number(values.seconds) * 1000 : Number.POSITIVE_INFINITY;
    let begun = 0;
    let counted = 0;
    // Caches, the state of what has not expired and the engine's heap reach their size first; what grows later, grows for ever.
    const looks: { readonly share: number; readonly rssMiB: readonly number[] }[] = [];
    const share = (): number => Math.max(counted / wanted, (performance.now() - startedMs) / (untilMs - startedMs));
    const looking = setInterval(() => looks.push({ share: share(), rssMiB: cluster.rssMiB() }), LOOK_MS);
    const stream = async (name: string): Promise<void> => {
      while (begun < wanted && performance.now() < untilMs) {
        begun++;
        await ask(name);
        counted++;
      }
    };
    await Promise.all(names.flatMap((name) => Array.from({ length: Number(values.window) }, () => stream(name))));
    clearInterval(looking);
    const mediansMiB = ([from, to]: readonly [number, number]): number[] => {
      const seen = looks.filter((look) => look.share >= from && look.share < to);
      return cluster.ids.map((_, i) => median(seen.map(({ rssMiB }) => rssMiB[i] as number)));
    };
    const settledMiB = mediansMiB(SETTLED);
    const lastMiB = mediansMiB(LAST);
    const perS = (counted / (performance.now() - startedMs)) * 1000;
    const cpuMs = cluster.cpuMs() - cpuBefore;
    const blocks = load.blockTimes.length - blocksBefore;
    // A request is signed once and checked by every validator; votes and attestations are shared by a batch.
    // (left out of the bound, which is then the higher: what votes cost depends on the batches).
    const perRequestMs = crypto.signMs + n * crypto.verifyMs;
    const boundPerS = (cpus().length * 1000) / perRequestMs;

    // A validator alone has nobody to take its place.
    const recoveryMs = n === 1 ? null : await recover(cluster.ids[0] as string);
    const viewMs = pbftTerms(cluster.genesis).viewMs;
    await load.stop();
    cluster.stop();
    const grown = values.grow === undefined ? [] : await growth(values.grow.split(',').map(Number));
    if (values.plot !== undefined) {
      const here = { validators: n, medianMs: median(times), p99Ms: quantile(times, 0.99), cpuMs: cpuAloneMs };
      writeFileSync(values.plot, growthPlot([{ ...here, over: 'embedded', messages: null }, ...grown]));
    }
    const round = (value: number): number => Number(value.toFixed(2));
    process.stdout.write(
      `${JSON.stringify({
        validators: n,
        latency: {
          medianMs: round(median(times)),
          p99Ms: round(quantile(times, 0.99)),
          hopMs: round(hop),
          writeMs: round(write),
          vsBound: round(median(times) / boundMs),
          validatorsCpuMsPerRequest: round(cpuAloneMs),
        },
        throughput: {
          perS: Math.round(perS),
          boundPerS: Math.round(boundPerS),
          vsCryptoBound: round(perS / boundPerS),
          requests: counted,
          perBlock: Math.round(counted / blocks),
          validatorsCpuMsPerRequest: round(cpuMs / counted),
          rssMiB: { settled: settledMiB.map(Math.round), last: lastMiB.map(Math.round) },
          rssGrowthMiB: round(sum(lastMiB) - sum(settledMiB)),
        },
        growth: grown.map(({ medianMs, p99Ms, cpuMs, ...point }) => ({
          ...point,
          medianMs: round(medianMs),
          p99Ms: round(p99Ms),
          cpuMs: round(cpuMs),
        })),
        recovery:
          recoveryMs === null ? null : { ms: Math.round(recoveryMs), viewMs, overTimer: round(recoveryMs / viewMs) },
        verdicts: Object.fromEntries(verdicts),
      })}\n`,
    );

    /** Kills the primary under load: time to the first block without it. */
    async function recover(primary: string): Promise<number> {
      let running = true;
      const asking = names.slice(0, 8).map(async (name) => {
        while (running) await Promise.race([ask(name), wait(200)]);
      });
      await wait(500);
      cluster.kill(primary);
      const killedMs = performance.now();
      await wait(RECOVERY_SEEN_MS);
      running = false;
      await Promise.all(asking);
      // What it had led is still heard for a moment; the block after the longest pause is the first without it.
      const times = [killedMs, ...load.blockTimes.filter((atMs) => atMs > killedMs)];
      const pauses = times.map((atMs, i) => ({ atMs, pauseMs: atMs - (times[i - 1] ?? atMs) }));
      return pauses.reduce((longest, each) => (each.pauseMs > longest.pauseMs ? each : longest)).atMs - killedMs;
    }
  } finally {
    cluster.stop();
  }
}

/** Requests of each size: fewer where each costs more. */
async function growth(sizes: readonly number[]): Promise<Latency[]> {
  const points: Latency[] = [];
  for (const over of ['embedded', 'mosquitto'] as const) {
    for (const size of over === 'mosquitto' ? [4, ...sizes] : sizes) {
      const measured = size > 10 ? 60 : 200;
      const point = await lonelyLatency(size, over, { warmUp: 2 * measured, measured });
      if (point === null) continue;
      points.push(point);
      process.stderr.write(`${JSON.stringify(point)}\n`);
    }
  }
  return points;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function wait(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
