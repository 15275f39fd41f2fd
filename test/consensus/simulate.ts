// `npm run simulate -- [--from N] [--seeds N] [--nodes 4,5,7,10] [--json]`  runs seeds and says what broke
// `npm run simulate -- --seed N [--nodes N] [--trace]`                       replays one exactly, or tells it
// `npm run simulate -- --mutants [--seeds N]`                                plants bugs and names the seed that finds each

import { parseArgs } from 'node:util';
import { FAULTS } from './simulator/plan.ts';

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100' },
    nodes: { type: 'string', default: '4,5,7,10' },
    seed: { type: 'string' },
    json: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    mutant: { type: 'string' },
  },
});
const nodeCounts = values.nodes.split(',').map(Number);
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

// A reader that has seen enough (`| head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

if (values.mutants) {
  const { huntMutants } = await import('./simulator/mutants.ts');
  process.exitCode = (await huntMutants(Number(values.seeds), values.mutant, say, values.json)) ? 0 : 1;
} else {
  if (values.mutant !== undefined) {
    const { plant } = await import('./simulator/mutants.ts');
    plant(values.mutant);
  }
  const { simulate } = await import('./simulator/world.ts');
  if (values.seed !== undefined) {
    const seed = Number(values.seed);
    const nodes = nodeCounts.length === 1 ? (nodeCounts[0] as number) : nodesOf(seed);
    const result = simulate(seed, nodes, values.trace ? say : null);
    say(JSON.stringify(result, null, values.json ? 0 : 2));
    if (result.violations.length + result.livenessFailures.length > 0) process.exitCode = 1;
  } else run(simulate);
}

function nodesOf(seed: number): number {
  return nodeCounts[seed % nodeCounts.length] as number;
}

function run(simulate: typeof import('./simulator/world.ts').simulate): void {
  const from = Number(values.from);
  const count = Number(values.seeds);
  const startedMs = performance.now();
  const startedCpu = process.cpuUsage();
  const sums = {
    steps: 0,
    messages: 0,
    commits: 0,
    violations: 0,
    livenessFailures: 0,
    crashes: 0,
    byzantine: 0,
    viewChanges: 0,
    stateTransfers: 0,
    snapshots: 0,
    evidence: 0,
    membershipChanges: 0,
  };
  const seedsWith = new Map<string, number>(FAULTS.map((fault) => [fault, 0]));
  let least = { steps: Number.POSITIVE_INFINITY, commits: Number.POSITIVE_INFINITY };
  let firstBad: number | null = null;
  let seeds = 0;
  for (let seed = from; seed < from + count; seed++) {
    const result = simulate(seed, nodesOf(seed));
    seeds++;
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) {
      const value = result[name];
      sums[name] += typeof value === 'number' ? value : value.length;
    }
    for (const fault of result.faults) seedsWith.set(fault, (seedsWith.get(fault) ?? 0) + 1);
    const bad = [...result.violations, ...result.livenessFailures];
    if (bad.length > 0) {
      firstBad ??= seed;
      if (!values.json)
        say(`seed ${seed} (${result.nodes} validators; ${result.faults.join(', ')}): ${bad.join('\n  ')}`);
      if (values.mutant !== undefined) break;
    } else least = { steps: Math.min(least.steps, result.steps), commits: Math.min(least.commits, result.commits) };
  }
  const wallS = (performance.now() - startedMs) / 1000;
  const cpu = process.cpuUsage(startedCpu);
  const cpuS = (cpu.user + cpu.system) / 1e6;
  const faults = Object.fromEntries(
    [...seedsWith].map(([fault, number]) => [fault, Number((number / seeds).toFixed(2))]),
  );
  const summary = {
    seeds,
    ...sums,
    wallS: Number(wallS.toFixed(1)),
    cpuS: Number(cpuS.toFixed(1)),
    messagesPerCpuS: Math.round(sums.messages / cpuS),
    leastSteps: least.steps,
    leastCommits: least.commits,
    faults,
    firstBad,
  };
  say(JSON.stringify(summary, null, values.json ? 0 : 2));
  if (sums.violations + sums.livenessFailures > 0) process.exitCode = 1;
}
