import { defineConfig } from 'vitest/config';

// Against programs that are not ours (pymodbus, libmodbus, mbpoll, mosquitto, systemd): one file at a time, they share ports and processors.
export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
});
