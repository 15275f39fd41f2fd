// What a bus will be asked and how long that takes, before anything is wired. Pure.

import type { Millis } from '../base/units.ts';
import type { Bus, Device, Poll, Profile, SiteFile } from '../site/types.ts';
import { silenceMs } from './bus.ts';
import { PERIODS, type Periods } from './device.ts';
import { servedLayout } from './image.ts';
import { type Block, planBlocks, spansOf } from './plan.ts';

/** What a device takes to answer where its profile does not say: usual meters need 5 to 50 ms on a serial line. */
export const TURNAROUND_MS = 10;
/** A request and its answer over a network, with the device's time. */
export const NETWORK_MS = 10;
const REQUEST_BYTES = 8;
const ANSWER_BYTES = 5;

export interface ClassPlan {
  readonly poll: Poll;
  readonly blocks: readonly Block[];
  readonly timeMs: Millis;
}

export interface DevicePlan {
  readonly device: string;
  readonly classes: readonly ClassPlan[];
}

export interface BusPlan {
  readonly bus: string;
  readonly devices: readonly DevicePlan[];
  /** Time to read everything that is wanted every second once. */
  readonly cycleMs: Millis;
  /** Share of the bus's time that reading takes, in the long run; above 1 it cannot keep up. */
  readonly load: number;
}

export function planBus(
  site: SiteFile,
  profiles: ReadonlyMap<string, Profile>,
  bus: Bus,
  periods: Periods = PERIODS,
): BusPlan {
  const devices = site.devices
    .filter((device) => device.bus === bus.id)
    .map((device) => planDevice(device, profiles.get(device.profile) as Profile, bus));
  const timeOf = (poll: Poll): Millis =>
    devices
      .flatMap(({ classes }) => classes.filter((each) => each.poll === poll))
      .reduce((sum, { timeMs }) => sum + timeMs, 0);
  return {
    bus: bus.id,
    devices,
    cycleMs: timeOf('fast'),
    load: timeOf('fast') / periods.fast + timeOf('medium') / periods.medium + timeOf('slow') / periods.slow,
  };
}

function planDevice(device: Device, profile: Profile, bus: Bus): DevicePlan {
  const layout = servedLayout(profile);
  const classes = (['fast', 'medium', 'slow', 'once'] as const).flatMap((poll): ClassPlan[] => {
    const points = [...profile.points.values()].filter((point) => point.poll === poll);
    const spans = points.flatMap(({ parts }) => parts.flatMap((part) => spansOf(part, layout)));
    if (spans.length === 0) return [];
    const blocks = planBlocks(spans, { ...profile.line, cuts: new Set() });
    return [{ poll, blocks, timeMs: blocks.reduce((sum, block) => sum + blockMs(block, bus, profile), 0) }];
  });
  return { device: device.id, classes };
}

/** Time of one request and its answer, the silences around it included. */
export function blockMs(block: Block, bus: Bus, profile: Profile): Millis {
  if (bus.kind !== 'rtu') return NETWORK_MS + profile.line.gapMs;
  const bits = block.table === 'coil' || block.table === 'discrete';
  const dataBytes = bits ? Math.ceil(block.count / 8) : 2 * block.count;
  const bitsPerByte = 9 + (bus.parity === 'none' ? 0 : 1) + bus.stopBits;
  const wireMs = ((REQUEST_BYTES + ANSWER_BYTES + dataBytes) * bitsPerByte * 1000) / bus.baud;
  return wireMs + TURNAROUND_MS + Math.max(silenceMs(bus.baud), profile.line.gapMs);
}
