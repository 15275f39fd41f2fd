import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**', 'test/bench/**'],
    // A machine that is busy is no fault of the code: nothing here fails for being slow, only for standing still.
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Much of the time is spent waiting for processes and clocks: every core has a file of its own, and one file more waits.
    maxWorkers: availableParallelism() + 1,
    // Faster to start than processes.
    pool: 'threads',
    // Programs that tests start find their code compiled.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'wattpact-compile-cache') },
  },
});
