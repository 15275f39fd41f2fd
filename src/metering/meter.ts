// Energy of intervals from the readings of one meter or device. Anchored to its counters: powers only shape how a rise between two
// counter readings is shared over an edge. Owns the putting together of channels; what is believed of a register is channel.ts.
// A new meter (another serial) starts with no state: its register has nothing to do with the old one's.

import { intervalAt } from '../base/interval.ts';
import type { Millis } from '../base/units.ts';
import { type ChannelState, type EdgeValue, feedChannel, newChannel } from './channel.ts';
import type {
  MeteredChannel,
  MeteredInterval,
  MeteredQuality,
  MeteringMark,
  MeterReading,
  MeterSpec,
} from './types.ts';

/** JSON; enough to go on in the middle of an interval. */
export interface MeterState {
  lastMs: Millis | null;
  /** Intervals in which the device was held back, not yet given out. */
  curtailed: number[];
  channels: Record<string, ChannelState>;
}

export interface Meter {
  /** Takes a reading (older than the last one: ignored) and returns the intervals that it finishes, in order. */
  feed(reading: MeterReading): readonly MeteredInterval[];
  state(): MeterState;
}

/** A meter, new or from the state of an earlier one with the same channels. */
export function createMeter(spec: MeterSpec, earlier?: MeterState): Meter {
  const names = Object.keys(spec.channels).sort();
  const state: MeterState =
    earlier === undefined ? { lastMs: null, curtailed: [], channels: {} } : structuredClone(earlier);
  for (const name of names) state.channels[name] ??= newChannel();
  const channelOf = (name: string): ChannelState => state.channels[name] as ChannelState;

  const feed = (reading: MeterReading): readonly MeteredInterval[] => {
    if (state.lastMs !== null && reading.atMs <= state.lastMs) return [];
    state.lastMs = reading.atMs;
    const now = intervalAt(reading.atMs, spec.intervalMs);
    if (reading.curtailed === true && state.curtailed.at(-1) !== now) state.curtailed.push(now);
    for (const name of names) feedChannel(spec, name, channelOf(name), reading);
    return finished();
  };

  const finished = (): MeteredInterval[] => {
    const done: MeteredInterval[] = [];
    for (;;) {
      const firsts = names.map((name) => channelOf(name).edges[0]?.edge);
      if (firsts.some((edge) => edge === undefined)) return done;
      const start = Math.max(...(firsts as number[]));
      for (const name of names) {
        const channel = channelOf(name);
        channel.edges = channel.edges.filter((edge) => edge.edge >= start);
      }
      if (names.some((name) => channelOf(name).edges.length < 2)) return done;
      // An edge that one channel does not know: go on from the next one that all know.
      const aligned = names.every((name) => channelOf(name).edges[0]?.edge === start);
      if (!aligned) continue;
      done.push(assemble(start));
      for (const name of names) channelOf(name).edges.shift();
    }
  };

  const assemble = (interval: number): MeteredInterval => {
    const startMs = interval * spec.intervalMs;
    const endMs = startMs + spec.intervalMs;
    const channels: Record<string, MeteredChannel> = {};
    const marks = new Set<MeteringMark>();
    let uncertaintyWh = 0;
    let quality: MeteredQuality = 'measured';
    for (const name of names) {
      const channel = channelOf(name);
      const edges = channel.edges.slice(0, 2) as [EdgeValue, EdgeValue];
      const [start, end] = edges;
      channels[name] = { startWh: Math.round(start.valueWh), endWh: Math.round(end.valueWh) };
      const idle = channel.flowMs < startMs - start.spanMs && start.valueWh === end.valueWh;
      for (const edge of edges) {
        const rounding = Number.isInteger(edge.valueWh) ? 0 : 0.5;
        uncertaintyWh += edge.errorWh + (idle ? 0 : edge.stepWh / 2 + rounding);
        if (edge.spanMs > spec.gapMs) marks.add('gap');
        else if (edge.spanMs > spec.measuredWithinMs && quality === 'measured') quality = 'interpolated';
      }
      for (const { mark, fromMs, toMs, lostWh } of channel.marks) {
        if (fromMs >= endMs || toMs <= startMs) continue;
        marks.add(mark);
        uncertaintyWh += lostWh;
      }
      channel.marks = channel.marks.filter((mark) => mark.toMs > endMs);
      if (spec.channels[name]?.source === 'power' && quality === 'measured') quality = 'interpolated';
    }
    if (marks.has('gap') || marks.has('reset')) quality = 'gap';
    const curtailed = state.curtailed.includes(interval);
    state.curtailed = state.curtailed.filter((other) => other > interval);
    return {
      interval,
      startMs,
      endMs,
      channels,
      // Sums of halves and products of floats: a hair above an integer is that integer.
      uncertaintyWh: Math.ceil(uncertaintyWh - 1e-6),
      quality,
      marks: [...marks].sort(),
      curtailed,
    };
  };

  return { feed, state: () => structuredClone(state) };
}
