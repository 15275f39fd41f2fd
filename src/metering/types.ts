// What metering takes and gives: readings of one meter or device in, energy of intervals out.
// Counters given out are continuous integers: the meter's own register plus what rollovers and resets took from it, so the end of
// an interval is exactly the start of the next one.

import type { Millis, WattHours, Watts } from '../base/units.ts';

/** One energy counter of a device, or an energy that only a power tells of. */
export interface ChannelSpec {
  /** `counter`: a register that rises. `power`: no register, the energy is the integral of the channel's power. */
  readonly source: 'counter' | 'power';
  /** Smallest step of the register, Wh. */
  readonly resolutionWh: WattHours;
  /** Set when the register is a float32: Wh of its unit (1000 for kWh). Its step then grows with its value. */
  readonly float32UnitWh?: WattHours;
  /** The register starts again at 0 when it reaches this. */
  readonly rolloverWh?: WattHours;
  /** Which side of the reading's `powerW` flows into this channel. */
  readonly side: 'positive' | 'negative';
}

export interface MeterSpec {
  readonly intervalMs: Millis;
  /** Channels by name, e.g. `import` and `export` of a grid meter, `generation` of an inverter. */
  readonly channels: Readonly<Record<string, ChannelSpec>>;
  /** The most that can flow (connection or device): what rises faster is not energy. */
  readonly powerMaxW: Watts;
  /** Readings around an edge at most this far apart count as measured there. */
  readonly measuredWithinMs: Millis;
  /** Farther apart than this is a gap: the sum over it is known, its place in time is not. */
  readonly gapMs: Millis;
}

/** One look at the device. Null where there is no good value: missing is not zero. */
export interface MeterReading {
  readonly atMs: Millis;
  readonly countersWh: Readonly<Record<string, WattHours | null>>;
  /** + into `positive` channels, - into `negative` ones. */
  readonly powerW: Watts | null;
  /** Whether the device was held below what it could do. */
  readonly curtailed?: boolean;
}

export type MeteredQuality = 'measured' | 'interpolated' | 'gap';
/** `gap`: no readings for longer than allowed. `rollover`: a register began again. `reset`: a register changed for no known reason; what
 * flowed meanwhile is not counted. `bounce`: implausible readings between plausible ones were ignored. */
export type MeteringMark = 'gap' | 'rollover' | 'reset' | 'bounce';

export interface MeteredChannel {
  readonly startWh: WattHours;
  readonly endWh: WattHours;
}

export interface MeteredInterval {
  readonly interval: number;
  readonly startMs: Millis;
  readonly endMs: Millis;
  readonly channels: Readonly<Record<string, MeteredChannel>>;
  /** Bound of the error of the sum of all channels' rises, an integer, rounded up. */
  readonly uncertaintyWh: WattHours;
  readonly quality: MeteredQuality;
  readonly marks: readonly MeteringMark[];
  readonly curtailed: boolean;
}
