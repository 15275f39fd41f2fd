// The figures a validator shows of itself (web/metrics.ts).

import type { Clock } from '../base/clock.ts';
import type { EngineStatus } from '../consensus/engine.ts';
import type { MessagingStatus } from '../messaging/client.ts';
import type { Gauge } from '../web/metrics.ts';

const STATES: readonly EngineStatus['state'][] = ['voting', 'changing', 'syncing', 'following', 'stopped'];

export function gaugesOf(
  { height, view, state, pending, evidence }: EngineStatus,
  { connected, brokers }: Pick<MessagingStatus, 'connected' | 'brokers'>,
  headTimeMs: number,
  clock: Clock,
): readonly Gauge[] {
  return [
    { name: 'height_blocks', help: 'Height of the last executed block.', value: height },
    {
      name: 'head_age_seconds',
      help: 'Chain time since the last block.',
      value: Math.max(0, clock.chainMs() - headTimeMs) / 1000,
    },
    { name: 'view', help: 'View of consensus.', value: view },
    { name: 'pending_requests', help: 'Requests waiting for their order.', value: pending },
    { name: 'accused_validators', help: 'Validators that contradicted themselves.', value: evidence.length },
    { name: 'brokers_connected', help: 'Brokers it is connected to.', value: connected },
    { name: 'brokers', help: 'Brokers it knows.', value: brokers.length },
    { name: 'resident_bytes', help: 'Resident memory of the process.', value: process.memoryUsage.rss() },
    { name: 'voting', help: '1 while it votes.', value: state === 'voting' ? 1 : 0 },
    { name: 'state', help: `0 to ${STATES.length - 1}: ${STATES.join(', ')}.`, value: STATES.indexOf(state) },
  ];
}
