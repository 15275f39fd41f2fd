// From the words of the site file to the words of dispatch, metering and admission. Owns the translation, nothing else.

import { WattpactError } from '../base/errors.ts';
import type { ControlConfig } from '../dispatch/control-types.ts';
import { batteriesOf } from '../dispatch/site-equipment.ts';
import { alternativesOf } from '../fieldbus/codec.ts';
import type { ChannelSpec, MeterSpec } from '../metering/types.ts';
import type { Admission } from '../protocol/genesis.ts';
import type { Battery, Device, Profile, SiteFile } from '../site/types.ts';

/** A reading older than this is stale for control, wall ms. */
const STALE_AFTER_MS = 5_000;
/** From a change at the connection to the meter's answer, wall ms. */
const METER_DELAY_MS = 500;
/** Readings around an interval's edge count as measured there when they are at most this far apart; beyond the second, it is a gap. Wall ms. */
const MEASURED_WITHIN_MS = 10_000;
const GAP_MS = 60_000;
/** Set-points change over this long at an interval's edge, chain ms. */
const EDGE_RAMP_MS = 60_000;

/** The meter at the grid connection; throws `site.meter` when the site has none. */
export function gridMeterOf(site: SiteFile): Device {
  const meter = site.devices.find(({ role }) => role === 'grid-meter');
  if (meter === undefined) {
    throw new WattpactError('site.meter', `site ${site.id} has no device with role grid-meter`, {
      hint: 'A site that trades needs a meter at the grid connection',
    });
  }
  return meter;
}

export function generatorsOf(site: SiteFile): readonly Device[] {
  return site.devices.filter(({ role }) => role === 'pv' || role === 'wind' || role === 'hybrid');
}

export function controlConfigOf(site: SiteFile, counterStepWh: number, edgeDelayChainMs: number): ControlConfig {
  const { connection } = site;
  const driven = site.storage.filter((storage) => storage.driven);
  const batteries = batteriesOf(site);
  const phasesOfDevice = (id: string) => site.devices.find((device) => device.id === id)?.phases ?? connection.phases;
  return {
    batteries: driven.map((storage, i) => ({
      battery: batteries[i] as Battery,
      device: storage.device,
      phases: phasesOfDevice(storage.device),
      lagMs: storage.lagMs,
      deadBandW: storage.deadBandW,
      stepW: storage.stepW,
    })),
    generators: generatorsOf(site).map(({ id, ratedW, phases, curtailable }) => ({
      id,
      ratedW: ratedW ?? connection.exportLimitW,
      phases,
      curtailable,
    })),
    loads: site.loads.map(({ id, device, control, block, ratedW, powersW, phases, minOnMs, minOffMs, sheddable }) => {
      const sgReady = block === null ? null : { block, recommendedW: powersW[0] ?? ratedW };
      return { id, device, control, sgReady, ratedW, phases, minOnMs, minOffMs, sheddable };
    }),
    connection: {
      importLimitW: connection.importLimitW,
      exportLimitW: connection.exportLimitW,
      phaseLimitW: connection.ampsPerPhase * connection.voltageV,
      phases: connection.phases,
      defaultImportLimitW: connection.defaultLimit.importW,
      defaultExportLimitW: connection.defaultLimit.exportW,
    },
    staleAfterMs: STALE_AFTER_MS,
    meterDelayMs: METER_DELAY_MS,
    counterStepWh,
    edgeDelayChainMs,
    edgeRampChainMs: EDGE_RAMP_MS,
  };
}

/** How a device is metered: `import`/`export` of the grid meter, `generation` of a generator, `charge`/`discharge` of a battery. */
export function meterSpecOf(options: {
  device: Device;
  profile: Profile;
  channels: Readonly<Record<string, { readonly measurand: string; readonly side: 'positive' | 'negative' }>>;
  powerMaxW: number;
  intervalMs: number;
  chainRate: number;
}): MeterSpec {
  const { profile, channels, powerMaxW, intervalMs, chainRate } = options;
  const specs = Object.entries(channels).map(([name, { measurand, side }]): [string, ChannelSpec] => {
    const point = profile.points.get(measurand);
    const counter = point?.counter ?? null;
    if (counter === null) return [name, { source: 'power', resolutionWh: 0, side }];
    const float = point?.parts.flatMap(alternativesOf).find(({ type }) => type === 'f32');
    return [
      name,
      {
        source: 'counter',
        resolutionWh: counter.resolutionWh,
        side,
        ...(counter.rolloverWh === null ? {} : { rolloverWh: counter.rolloverWh }),
        ...(float === undefined ? {} : { float32UnitWh: float.scale }),
      },
    ];
  });
  return {
    intervalMs,
    channels: Object.fromEntries(specs),
    powerMaxW,
    measuredWithinMs: MEASURED_WITHIN_MS * chainRate,
    gapMs: GAP_MS * chainRate,
  };
}

/** The pseudonym a site is admitted under. */
export function gatewayIdOf(site: SiteFile): string {
  return `gateway-${site.id}`;
}

/** What the operator admits of a site: generators and batteries with what they can do at most. */
export function admissionOf(
  site: SiteFile,
  terms: { gateway: string; publicKey: string; feeder: string; bus: string; uncertaintyWhMax: number },
): Admission {
  const generators = generatorsOf(site).map(({ id, role, ratedW }) => ({
    capacityW: Math.round(ratedW ?? site.connection.exportLimitW),
    id,
    kind: role === 'wind' ? ('wind' as const) : ('pv' as const),
  }));
  const batteries = site.storage.map(({ id, chargeLimitW, dischargeLimitW }) => ({
    capacityW: Math.round(Math.max(chargeLimitW, dischargeLimitW)),
    id,
    kind: 'battery' as const,
  }));
  return {
    bus: terms.bus,
    customers: site.customers.map(({ id }) => id),
    devices: [...generators, ...batteries],
    exportLimitW: Math.round(site.connection.exportLimitW),
    feeder: terms.feeder,
    gateway: terms.gateway,
    importLimitW: Math.round(site.connection.importLimitW),
    meterSerial: gridMeterOf(site).meter?.serial ?? `${site.id}-meter`,
    publicKey: terms.publicKey,
    uncertaintyWhMax: terms.uncertaintyWhMax,
  };
}
