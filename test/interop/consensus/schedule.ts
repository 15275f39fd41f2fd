// What happens to whom and when, from one seed: machines that die, machines that freeze, links that break in part.

import { seededRandom } from '../../../src/base/random.ts';
import type { LinkMode } from './proxy.ts';

export type Fault =
  | { readonly type: 'kill'; readonly node: string }
  | { readonly type: 'freeze'; readonly node: string }
  /** These nodes and those brokers: their links, in this mode. */
  | {
      readonly type: 'links';
      readonly nodes: readonly string[];
      readonly brokers: readonly string[];
      readonly mode: LinkMode;
    };

export interface Scheduled {
  readonly atMs: number;
  /** How long the machine is down or frozen, or the links broken. */
  readonly lastsMs: number;
  readonly fault: Fault;
}

const MODES: readonly LinkMode[] = ['cut', 'stalled', 'deaf', 'mute'];
/** Mean time between two faults, and how long one lasts, ms. */
const PAUSE_MS = 3_000;
const LASTS_MS = { least: 300, most: 7_000 };

/** Each kind of fault falls on each node and broker sooner or later; several may hold at once, also on more nodes than are tolerated. */
export function scheduleOf(
  seed: number,
  lengthMs: number,
  nodes: readonly string[],
  brokers: readonly string[],
): Scheduled[] {
  const random = seededRandom(seed);
  const among = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const some = <T>(values: readonly T[]): T[] => {
    const chosen = values.filter(() => random() < 0.5);
    return chosen.length > 0 ? chosen : [among(values)];
  };
  const faultOf = (turn: number): Fault => {
    switch (turn % 4) {
      case 0:
        return { type: 'kill', node: among(nodes) };
      case 1:
        return { type: 'links', nodes: [among(nodes)], brokers, mode: among(MODES) };
      case 2:
        return { type: 'freeze', node: among(nodes) };
      default:
        return { type: 'links', nodes: some(nodes), brokers: some(brokers), mode: among(MODES) };
    }
  };
  const schedule: Scheduled[] = [];
  for (let atMs = 2 * PAUSE_MS * random(), turn = 0; atMs < lengthMs; atMs += 2 * PAUSE_MS * random(), turn++) {
    const lastsMs = LASTS_MS.least + (LASTS_MS.most - LASTS_MS.least) * random();
    schedule.push({ atMs: Math.floor(atMs), lastsMs: Math.floor(lastsMs), fault: faultOf(turn) });
  }
  return schedule;
}

export function describeFault({ atMs, lastsMs, fault }: Scheduled): string {
  const what =
    fault.type === 'links' ? `${fault.mode} ${fault.nodes.join(' ')} | ${fault.brokers.join(' ')}` : fault.node;
  return `${(atMs / 1000).toFixed(1).padStart(6)} s  ${fault.type} ${what} for ${(lastsMs / 1000).toFixed(1)} s`;
}
