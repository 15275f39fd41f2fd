// A gateway that lost its store gets its past back from the chain: the deliveries that it signed itself become stored energies again.

import type { Envelope } from '../protocol/envelope.ts';
import type { RequestBody } from '../protocol/requests.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { SITE } from './metering.ts';

/** Energies of intervals out of deliveries that this gateway signed itself: what forecasters learn from after a lost store. */
export function rememberDeliveries(store: Pick<GatewayStore, 'energies'>, deliveries: readonly Envelope[]): void {
  for (const { body } of deliveries) {
    const delivery = body as unknown as RequestBody<'delivery'>;
    const { interval, quality, uncertaintyWh } = delivery;
    const common = { interval, quality, uncertaintyWh };
    store.energies.save([
      {
        ...common,
        subject: SITE,
        quantity: 'import',
        energyWh: delivery.importEndWh - delivery.importStartWh,
        curtailed: false,
      },
      {
        ...common,
        subject: SITE,
        quantity: 'export',
        energyWh: delivery.exportEndWh - delivery.exportStartWh,
        curtailed: false,
      },
      ...delivery.devices.flatMap(({ device, energyWh, curtailed }) => [
        // A generator's energy is its generation; a battery's is net, + discharged.
        { ...common, subject: device, quantity: 'generation', energyWh: Math.max(0, energyWh), curtailed },
        { ...common, subject: device, quantity: 'discharge', energyWh: Math.max(0, energyWh), curtailed },
        { ...common, subject: device, quantity: 'charge', energyWh: Math.max(0, -energyWh), curtailed },
      ]),
    ]);
  }
}
