// Who may use a line: nobody before it is open, and nobody once it is lost, until it is open again.

import { expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { createBus } from '../../src/fieldbus/bus.ts';
import type { Line } from '../../src/fieldbus/line.ts';
import { clock } from './served.ts';

const MANNER = { urgency: 'fast', unitId: 1, gapMs: 0, afterMs: 0 } as const;

test('what is asked after the line was lost is refused at once, as before it was open; then it is open again', async () => {
  let lose = (): void => undefined;
  let isOpen = false;
  const line: Line = {
    where: 'a line',
    get isOpen() {
      return isOpen;
    },
    async open() {
      isOpen = true;
    },
    async close() {
      isOpen = false;
    },
    onLost(callback) {
      lose = callback;
    },
    read: async () => [],
    write: async () => undefined,
  };
  const bus = createBus({
    id: 'one',
    line,
    inFlightMax: 1,
    silenceMs: 0,
    serial: false,
    connectDelayMs: 0,
    clock,
    log: SILENT,
  });
  let done = 0;
  const ask = (): Promise<number> => bus.request(MANNER, async () => ++done);
  await expect(ask()).rejects.toMatchObject({ fault: 'closed' });
  bus.start();
  await expect(ask()).rejects.toMatchObject({ fault: 'disconnected' });
  const isConnected = (): Promise<void> =>
    vi.waitFor(() => expect(bus.connected).toBe(true), { timeout: 20_000, interval: 5 });
  await isConnected();
  expect(await ask()).toBe(1);
  isOpen = false;
  lose();
  expect(bus.connected).toBe(false);
  await expect(ask()).rejects.toMatchObject({ fault: 'disconnected' });
  expect(done).toBe(1);
  await isConnected();
  expect(await ask()).toBe(2);
  await bus.stop();
  await expect(ask()).rejects.toMatchObject({ fault: 'closed' });
});
