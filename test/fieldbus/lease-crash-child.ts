// A field bus in a process of its own: `node lease-crash-child.ts DIR PORT PROFILE CONTROL WHEN`. First it takes back what an earlier run left, then
// it drives the control and lets it go. WHEN = saved: it ends itself when the lease is on disk and nothing is written; recover: it only takes back;
// drive: all of it, and the test ends it at a write that it sees.

import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { loadProfile } from '../../src/site/load.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { fieldbusOf, siteOn } from './served.ts';

const [dir = '', port = '', name = '', control = '', when = ''] = process.argv.slice(2);
const profile = loadProfile(name);
const store = openGatewayStore(join(dir, 'gateway.sqlite'));
const leases = {
  ...store.leases,
  save(record: Parameters<typeof store.leases.save>[0]) {
    store.leases.save(record);
    if (when !== 'saved') return;
    process.kill(process.pid, 'SIGKILL');
    for (;;);
  },
};
const role = control === 'batterySetpointW' ? 'battery' : 'pv, curtailable: true';
const site = siteOn(Number(port), {
  meter: 'profile: eastron/sdm630, unitId: 2, role: grid-meter',
  device: `profile: ${name}, unitId: 1, role: ${role}, ratedW: 5000`,
});
const fieldbus = fieldbusOf(site, [profile, loadProfile('eastron/sdm630')], leases);
await fieldbus.start();
const [point = ''] = profile.points.keys();
while (fieldbus.readings('device').get(point)?.quality !== 'good' || store.leases.all().length > 0) await pause(10);
if (when !== 'recover') {
  const lease = await fieldbus.lease('device', control, 1_500, 60_000);
  if (lease.state !== 'active') throw new Error(lease.reason ?? 'not taken');
  await fieldbus.release('device', control);
}
await fieldbus.stop();
store.close();
