// Doors of a site for its people: HTTP and MQTT for customers' stated demand, MQTT for the owner's overrides. Owns who comes in by which token.

import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { siteAccess } from '../messaging/access.ts';
import type { EmbeddedBroker } from '../messaging/broker.ts';
import type { CustomerStore } from '../store/customers.ts';
import type { DemandDoor } from '../web/demand.ts';
import type { DemandDesk } from './demands.ts';
import { type Overrides, OWNER } from './overrides.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface SiteDoors {
  /** Throws if an address cannot be had. */
  open(): Promise<void>;
  demandUrl(): string | null;
  close(): Promise<void>;
}

export function createSiteDoors(options: {
  /** Null: closed. */
  demandHttp: Address | null;
  demandMqtt: Address | null;
  customers: CustomerStore;
  accept: DemandDesk;
  overrides: Pick<Overrides, 'accept'>;
  clock: Clock;
  log: Log;
}): SiteDoors {
  const { accept, clock, customers, demandHttp, demandMqtt, log, overrides } = options;
  const monotonicMs = () => clock.monotonicMs();
  let http: DemandDoor | null = null;
  let mqtt: EmbeddedBroker | null = null;
  return {
    // Few sites open these doors, and the servers behind them are much code.
    async open() {
      if (demandHttp !== null) {
        const { createDemandDoor } = await import('../web/demand.ts');
        const holderOf = (token: string) => customers.holderOf(token);
        http = await createDemandDoor({ ...demandHttp, holderOf, accept, monotonicMs, log });
      }
      if (demandMqtt !== null) {
        const { createBroker } = await import('../messaging/broker.ts');
        mqtt = await createBroker({
          ...demandMqtt,
          access: siteAccess((customer, token) => customers.isToken(customer, token), OWNER),
          log,
          monotonicMs,
          onMessage: (user, _topic, payload) => {
            if (user === OWNER) overrides.accept(payload, 'site broker');
            else accept(user, payload);
          },
        });
      }
    },
    demandUrl: () => http?.url ?? null,
    async close() {
      await http?.close();
      await mqtt?.close();
    },
  };
}
