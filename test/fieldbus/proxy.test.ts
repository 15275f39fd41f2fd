import { afterEach, describe, expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { type BusOwner, createBus } from '../../src/fieldbus/bus.ts';
import { type Line, openableLine } from '../../src/fieldbus/line.ts';
import { shareBus } from '../../src/fieldbus/proxy.ts';
import { loadProfile } from '../../src/site/load.ts';
import { clock, serve, served } from './served.ts';

const RELAY = loadProfile('waveshare/relay-8');
const SDM = loadProfile('eastron/sdm630');
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const lineTo = (port: number): Line => openableLine({ id: 'x', kind: 'tcp', host: '127.0.0.1', port, share: null });

async function shared(writes: boolean) {
  const meter = served(SDM);
  const relay = served(RELAY, null);
  meter.image.set(new Map([['gridPowerW', 750]]));
  const server = await serve({ 1: meter.answer, 2: relay.answer });
  ends.push(() => server.close());
  const bus: BusOwner = createBus({
    id: 'one',
    line: lineTo(server.port),
    inFlightMax: 1,
    silenceMs: 0,
    serial: false,
    connectDelayMs: 0,
    clock,
    log: SILENT,
  });
  ends.push(() => bus.stop());
  bus.start();
  await vi.waitFor(() => expect(bus.connected).toBe(true), { timeout: 20_000 });
  const proxy = await shareBus(bus, { host: '127.0.0.1', port: 0, writes }, { clock, log: SILENT });
  ends.push(() => proxy.close());
  const client = async (): Promise<Line> => {
    const line = lineTo(proxy.port);
    await line.open();
    ends.push(() => line.close());
    return line;
  };
  return { meter, relay, client };
}

describe('a shared bus', () => {
  test('several masters read one device; the same question soon after is answered from what was seen', async () => {
    const { meter, client } = await shared(false);
    const [a, b] = [await client(), await client()];
    const words = await a.read(1, 'input', 52, 2, 1000);
    expect(words).toEqual(meter.image.read('input', 52, 2));
    expect(await b.read(1, 'input', 52, 2, 1000)).toEqual(words);
    expect(meter.seen).toHaveLength(1);
    expect(await b.read(1, 'input', 0, 2, 1000)).toEqual([0, 0]);
    expect(meter.seen).toHaveLength(2);
  });

  test('writes are refused unless allowed', async () => {
    const { relay, client } = await shared(false);
    const line = await client();
    await expect(line.write(2, 'coil', 0, [1], true, 1000)).rejects.toMatchObject({ exception: 1 });
    expect(relay.image.control('switch1')).toBe(0);
  });

  test('allowed writes pass, and what was seen before is forgotten', async () => {
    const { relay, client } = await shared(true);
    const line = await client();
    expect(await line.read(2, 'coil', 0, 3, 1000)).toEqual([0, 0, 0]);
    await line.write(2, 'coil', 0, [1], true, 1000);
    await line.write(2, 'coil', 1, [0, 1], false, 1000);
    expect(relay.image.control('switch1')).toBe(1);
    expect(await line.read(2, 'coil', 0, 3, 1000)).toEqual([1, 0, 1]);
  });

  test("the device's exceptions come through, silence is said, nonsense is refused", async () => {
    const { meter, client } = await shared(false);
    const line = await client();
    await expect(line.read(1, 'input', 5000, 2, 1000)).rejects.toMatchObject({ exception: 2 });
    await expect(line.read(1, 'input', 65_535, 2, 1000)).rejects.toMatchObject({ exception: 2 });
    await expect(line.read(1, 'input', 0, 126, 1000)).rejects.toMatchObject({ exception: 3 });
    expect(meter.seen).toHaveLength(1);
  });
});
