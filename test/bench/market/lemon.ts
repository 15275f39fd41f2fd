// Builds and runs the LEMON peer. Needs g++ and liblemon-dev (apt); without them there is no peer and the benchmark says so.

import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { FeederModel, OrderBook } from '../../../src/market/types.ts';

const COMPILE_MS_MAX = 120_000;

export interface Lemon {
  /** CPU time of run() alone, and the welfare; null if it took longer than `cpuMsMax`. */
  solve(feeder: FeederModel, book: OrderBook, cpuMsMax: number): Promise<{ cpuMs: number; welfareUc: bigint } | null>;
  close(): void;
}

export function buildLemon(): Lemon | null {
  if (!existsSync('/usr/include/lemon/network_simplex.h')) return null;
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-lemon-'));
  const program = join(folder, 'lemon');
  const source = join(import.meta.dirname, 'lemon.cpp');
  const built = spawnSync('g++', ['-O3', '-DNDEBUG', '-std=c++14', '-o', program, source], {
    timeout: COMPILE_MS_MAX,
    encoding: 'utf8',
  });
  if (built.status !== 0) {
    rmSync(folder, { recursive: true });
    throw new Error(`lemon.cpp does not build: ${built.stderr}`);
  }
  const run = promisify(execFile);
  return {
    async solve(feeder, book, cpuMsMax) {
      const input = join(folder, 'instance.bin');
      writeFileSync(input, new Uint8Array(instanceData(feeder, book).buffer));
      try {
        // The limit counts CPU seconds, so that other work on the machine does not decide.
        const limited = `ulimit -t ${Math.ceil(cpuMsMax / 1000)}; exec "$0" "$1"`;
        const { stdout } = await run('sh', ['-c', limited, program, input]);
        const { cpuMs, welfareUc } = JSON.parse(stdout) as { cpuMs: number; welfareUc: string };
        return { cpuMs, welfareUc: BigInt(welfareUc) };
      } catch (error) {
        if (['SIGXCPU', 'SIGKILL'].includes((error as { signal?: string }).signal ?? '')) return null;
        throw error;
      }
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function instanceData(feeder: FeederModel, book: OrderBook): Float64Array {
  const n = feeder.parents.length;
  const data = new Float64Array(2 + 4 * n + 4 * book.size);
  const limit = (value: number): number => (Number.isFinite(value) ? value : -1);
  data.set([n, book.size]);
  for (let bus = 0; bus < n; bus++) {
    const row = [
      feeder.parents[bus]!,
      limit(feeder.upMaxWh[bus]!),
      limit(feeder.downMaxWh[bus]!),
      feeder.tariffsUcPerWh[bus]!,
    ];
    data.set(row, 2 + 4 * bus);
  }
  for (let i = 0; i < book.size; i++) {
    data.set([book.buses[i]!, book.supply[i]!, book.pricesUcPerWh[i]!, book.energiesWh[i]!], 2 + 4 * n + 4 * i);
  }
  return data;
}
