// A gateway's requester in a process of its own that ends itself with SIGKILL: `node crash-child.ts FILE WHEN`, WHEN = persisted | sent | never.
// What leaves goes to FILE.wire, one line a message, synced: the test reads what the world has seen.

import { appendFileSync } from 'node:fs';
import { toHex } from '../../src/base/bytes.ts';
import { SILENT } from '../../src/base/log.ts';
import { seededBytes } from '../../src/base/random.ts';
import { createRequester } from '../../src/gateway/requester.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { GENESIS, INTERVAL, T0_MS, testKey } from '../vectors/examples.ts';

const [file = '', when = 'never'] = process.argv.slice(2);
const store = openGatewayStore(file);
const die = (): never => {
  process.kill(process.pid, 'SIGKILL');
  for (;;);
};
const requester = createRequester({
  chain: GENESIS.chain,
  gateway: 'gateway-farm',
  sign: testKey('gateway-farm').sign,
  store,
  messaging: {
    async send(id, _channel, _path, payload) {
      if (when === 'persisted') die();
      appendFileSync(`${file}.wire`, `${id} ${toHex(payload)}\n`, { flush: true });
      if (when === 'sent') die();
      return [];
    },
    forget: () => undefined,
  },
  clock: { chainMs: () => T0_MS - 600_000, monotonicMs: () => 0 },
  randomBytes: seededBytes(process.pid),
  quorum: () => ({ k: 3, n: 4 }),
  mayNotSign: () => null,
  ask: () => undefined,
  emit: () => undefined,
  log: SILENT,
});
// As the program does: what is undecided goes out again; a new request is made only where there is none for the interval.
requester.tick();
if (store.requests.of(INTERVAL).length === 0) {
  requester.submit(
    'offer',
    INTERVAL,
    { interval: INTERVAL, buy: [], sell: [{ energyWh: 500, priceUcPerWh: 9000 }] },
    T0_MS,
  );
}
store.close();
