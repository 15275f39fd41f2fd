import { describe, expect, test } from 'vitest';
import { type Subject, subjectOf } from '../../src/ledger/visibility.ts';
import { minutesAfter, publicKeyOf, T, testGenesis, World } from './world.ts';

const base = testGenesis();
const feeder = base.feeders[0];
if (feeder === undefined) throw new Error('no feeder');
const genesis = testGenesis({
  feeders: [feeder, { ...feeder, id: 'f2', operator: 'operator2', utility: 'utility2' }],
  utilities: [...base.utilities, { id: 'utility2', publicKey: publicKeyOf('utility2') }],
});

const SUBJECTS: Readonly<Record<string, Subject>> = {
  everybody: { about: 'everybody' },
  house: { about: 'party', party: 'house' },
  'market f1': { about: 'market', feeder: 'f1' },
  'market f2': { about: 'market', feeder: 'f2' },
  operator1: { about: 'party', party: 'operator1' },
};

describe('who sees what', () => {
  test.each([
    ['the public', null, ['everybody']],
    ['an unknown id', 'nobody', ['everybody']],
    ['the owner', 'house', ['everybody', 'house']],
    ['a neighbour', 'farm', ['everybody']],
    ['the operator of the feeder', 'operator1', ['everybody', 'house', 'market f1', 'operator1']],
    ['another operator', 'operator2', ['everybody', 'market f2']],
    ['the utility', 'utility1', ['everybody', 'market f1']],
    ['a validator', 'v1', Object.keys(SUBJECTS)],
  ])('%s', (_name, asker, sees) => {
    const { ledger } = new World(genesis);
    expect(Object.keys(SUBJECTS).filter((name) => ledger.maySee(asker, SUBJECTS[name] as Subject))).toEqual(sees);
  });
});

test('a revoked gateway sees what the public sees', () => {
  const world = new World(genesis);
  world.block(minutesAfter(T, -20), world.sign('operator1', 'gateway.revoke', { gateway: 'house' }));
  expect(world.ledger.maySee('house', { about: 'party', party: 'house' })).toBe(false);
});

test('notices are about their site alone, summaries about everybody; a total needs five sites', () => {
  const names = ['house', 'farm', 'factory', 'flat', 'barn'];
  const site = genesis.gateways[0] as (typeof genesis.gateways)[number];
  const world = new World(
    testGenesis({ gateways: names.map((gateway) => ({ ...site, gateway, publicKey: publicKeyOf(gateway) })) }),
  );
  const offers = (interval: number, of: readonly string[]) =>
    of.map((name, i) =>
      i === 0 ? world.offer(name, interval, [[1, 400]]) : world.offer(name, interval, [], [[2, 100]]),
    );
  world.block(minutesAfter(T, -20), ...offers(T, names.slice(1)), ...offers(T + 1, names));
  const subjects: Subject[] = [];
  world.ledger.onApplied(({ block }) => subjects.push(...block.results.map(({ leaf }) => subjectOf(leaf))));
  world.block(minutesAfter(T, -5));
  expect(subjects).toHaveLength(5);
  expect(subjects[0]).toEqual({ about: 'everybody' });
  expect(new Set(subjects.slice(1).map((subject) => (subject.about === 'party' ? subject.party : '')))).toEqual(
    new Set(names.slice(1)),
  );
  world.block(minutesAfter(T + 1, -5));
  const totals = [2, 3].map((height) => world.ledger.block(height)?.results[0]?.leaf);
  expect(totals).toMatchObject([{ tradedWh: null }, { tradedWh: 400 }]);
});
