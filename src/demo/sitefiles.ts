// The site files that the demo's gateways read: the ones of `devices/demo`, with the addresses that the simulated buses and the consortium
// got in this run. Plain files: anyone can start a gateway of his own with one of them.

import { writeFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { readUserFile } from '../commands/runtime.ts';
import type { BusAddress } from '../simulator/types.ts';

export function writeSiteFile(options: {
  /** The site file it is made from. */
  from: string;
  to: string;
  buses: ReadonlyMap<string, BusAddress>;
  market: { genesis: string; brokers: readonly string[]; key: string; dataDir: string };
}): void {
  const document = parseDocument(readUserFile(options.from, 'site file'));
  for (const [bus, address] of options.buses) {
    if (address.kind === 'rtu') {
      document.setIn(['buses', bus, 'path'], address.path);
    } else {
      document.setIn(['buses', bus, 'host'], address.host);
      document.setIn(['buses', bus, 'port'], address.port);
    }
  }
  document.set('market', document.createNode(options.market));
  writeFileSync(options.to, document.toString(), { mode: 0o600 });
}
