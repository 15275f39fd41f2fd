// A field bus with a device whose limit wears, in a process that ends itself: `node wear-child.ts DIR AHEAD_MS WHEN`, WHEN = counted | written |
// never. The device's register and every write to it lie in DIR/written, so that the next run finds them.

import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadProfile } from '../../src/site/load.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { fieldbusOf, serve, served, siteOn } from './served.ts';
import { EEPROM, INVERTER, wearing } from './wear-device.ts';

const [dir = '', ahead = '0', when = 'never'] = process.argv.slice(2);
const log = join(dir, 'written');
const die = (): never => {
  process.kill(process.pid, 'SIGKILL');
  for (;;);
};
let armed = false;
const before = readFileSync(log, 'utf8').split('\n').filter(Boolean).map(Number);
const device = wearing(before.at(-1) ?? 60_000, (value) => {
  appendFileSync(log, `${value}\n`, { flush: true });
  if (armed && when === 'written') die();
});
const SDM = loadProfile('eastron/sdm630');
const server = await serve({ 1: device.answer, 2: served(SDM).answer });
const store = openGatewayStore(join(dir, 'gateway.sqlite'));
const clock = { chainMs: () => Date.now() + Number(ahead), monotonicMs: () => performance.now() };
const leases = {
  ...store.leases,
  countWrite(name: string, control: string, atMs: number) {
    store.leases.countWrite(name, control, atMs);
    if (armed && when === 'counted') die();
  },
};
const site = siteOn(server.port, { meter: 'profile: eastron/sdm630, unitId: 2, role: grid-meter', inverter: INVERTER });
const fieldbus = fieldbusOf(site, [EEPROM, SDM], leases, clock);
await fieldbus.start();
const answers = (): boolean => fieldbus.readings('inverter').get('generationPowerW')?.quality === 'good';
const reverted = (): boolean => store.leases.all().length === 0;
while (!answers() || !reverted()) await new Promise((done) => setTimeout(done, 10));
armed = true;
await fieldbus.lease('inverter', 'generationLimitW', 1_000 + Math.round(Number(ahead) / 1_000), 60_000);
await fieldbus.stop();
await server.close();
store.close();
