import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  confirmations,
  type Decision,
  type LifeEvent,
  newRequest,
  RESEND_MAX_MS,
  stepLife,
} from '../../src/contract/life.ts';
import { deviceQuorum } from '../../src/protocol/quorum.ts';

const recorded: Decision = { verdict: 'recorded', reason: '', height: 7, header: 'aa', timeMs: 1_000 };
const otherBlock: Decision = { ...recorded, header: 'bb' };
const refused: Decision = { ...recorded, verdict: 'refused', reason: 'late' };
const reply = (validator: string, decision: Decision): LifeEvent => ({ type: 'reply', validator, decision });
const absent = (validator: string, timeMs: number): LifeEvent => ({ type: 'absent', validator, timeMs });

function live(k: number, ...events: LifeEvent[]) {
  return events.reduce((life, event) => stepLife(life, event, k).life, newRequest('id', 5_000));
}

const cases: { name: string; events: LifeEvent[]; phase: string; count: number }[] = [
  { name: 'nothing heard', events: [], phase: 'undecided', count: 0 },
  { name: 'two of three', events: [reply('v1', recorded), reply('v2', recorded)], phase: 'undecided', count: 2 },
  {
    name: 'three of three',
    events: [reply('v1', recorded), reply('v2', recorded), reply('v3', recorded)],
    phase: 'recorded',
    count: 3,
  },
  {
    name: 'one validator three times',
    events: [reply('v1', recorded), reply('v1', recorded), reply('v1', recorded)],
    phase: 'undecided',
    count: 1,
  },
  {
    name: 'replies for two blocks',
    events: [reply('v1', recorded), reply('v2', otherBlock), reply('v3', recorded)],
    phase: 'undecided',
    count: 2,
  },
  {
    name: 'a liar contradicting himself',
    events: [reply('v1', otherBlock), reply('v1', recorded), reply('v2', recorded), reply('v3', recorded)],
    phase: 'undecided',
    count: 2,
  },
  {
    name: 'a refusal by three',
    events: [reply('v1', refused), reply('v2', refused), reply('v3', refused)],
    phase: 'refused',
    count: 0,
  },
  {
    name: 'refusals and records do not add up',
    events: [reply('v1', refused), reply('v2', recorded), reply('v3', refused)],
    phase: 'undecided',
    count: 1,
  },
  {
    name: 'hints never count',
    events: [1, 2, 3, 4].map((v) => ({ type: 'hint', validator: `v${v}`, reason: 'no' })),
    phase: 'undecided',
    count: 0,
  },
  {
    name: 'absent before it expired',
    events: [absent('v1', 5_000), absent('v2', 4_000), absent('v3', 5_000)],
    phase: 'undecided',
    count: 0,
  },
  {
    name: 'absent past validUntil',
    events: [absent('v1', 5_001), absent('v2', 6_000), absent('v3', 5_001)],
    phase: 'expired',
    count: 0,
  },
  {
    name: 'absent three times by one',
    events: [absent('v1', 5_001), absent('v1', 6_000), absent('v1', 7_001)],
    phase: 'undecided',
    count: 0,
  },
  {
    name: 'the fourth reply is shown',
    events: ['v1', 'v2', 'v3', 'v4'].map((v) => reply(v, recorded)),
    phase: 'recorded',
    count: 4,
  },
  {
    name: 'a late contradiction changes nothing',
    events: [...['v1', 'v2', 'v3'].map((v) => reply(v, recorded)), reply('v4', refused)],
    phase: 'recorded',
    count: 3,
  },
];
for (const { name, events, phase, count } of cases) {
  test(name, () => {
    const life = live(deviceQuorum(4), ...events);
    expect(life.phase).toBe(phase);
    expect(confirmations(life)).toBe(count);
  });
}

test('resends with growing waits until decided, asks instead once it is past its validity, and never gives up', () => {
  let life = newRequest('id', 50_000);
  const effects: string[] = [];
  for (let ms = 0; ms <= 200_000; ms += 500) {
    const stepped = stepLife(life, { type: 'tick', monotonicMs: ms, chainMs: ms }, 3);
    life = stepped.life;
    if (stepped.effect !== null) effects.push(`${stepped.effect} ${ms}`);
  }
  expect(effects.slice(0, 5)).toEqual(['send 0', 'send 1000', 'send 3000', 'send 7000', 'send 15000']);
  const asks = effects.filter((effect) => effect.startsWith('ask')).map((effect) => Number(effect.slice(4)));
  expect(asks.length).toBeGreaterThan(3);
  expect(asks.every((ms, i) => ms > 50_000 && (i === 0 || ms - (asks[i - 1] ?? 0) <= RESEND_MAX_MS))).toBe(true);
  expect(life.phase).toBe('undecided');
});

test('property: decided as recorded exactly when some word has k distinct first-time speakers', () => {
  const votes = fc.array(fc.record({ validator: fc.integer({ min: 1, max: 7 }), header: fc.constantFrom('a', 'b') }), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(votes, (said) => {
      const life = live(4, ...said.map(({ validator, header }) => reply(`v${validator}`, { ...recorded, header })));
      const first = new Map<number, string>();
      for (const { validator, header } of said) if (!first.has(validator)) first.set(validator, header);
      const counts = ['a', 'b'].map((header) => [...first.values()].filter((word) => word === header).length);
      expect(life.phase).toBe(Math.max(...counts) >= 4 ? 'recorded' : 'undecided');
    }),
  );
});
