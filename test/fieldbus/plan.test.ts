import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Block, cutOf, planBlocks, type Span } from '../../src/fieldbus/plan.ts';

const span = (address: number, count = 1, table: Span['table'] = 'holding'): Span => ({ table, address, count });
const none = new Set<string>();

describe('blocks', () => {
  const cases: readonly [string, Span[], { registersMax: number; holeMax: number }, [number, number][]][] = [
    ['neighbours', [span(2), span(0, 2)], { registersMax: 10, holeMax: 0 }, [[0, 3]]],
    ['a small hole is read over', [span(0), span(4)], { registersMax: 10, holeMax: 3 }, [[0, 5]]],
    [
      'a large hole is not',
      [span(0), span(5)],
      { registersMax: 10, holeMax: 3 },
      [
        [0, 1],
        [5, 1],
      ],
    ],
    [
      'no more than allowed',
      [span(0, 6), span(6, 6)],
      { registersMax: 10, holeMax: 3 },
      [
        [0, 6],
        [6, 6],
      ],
    ],
    ['overlapping', [span(0, 4), span(2, 2), span(3, 3)], { registersMax: 10, holeMax: 0 }, [[0, 6]]],
    [
      'tables apart',
      [span(0), span(1, 1, 'input')],
      { registersMax: 10, holeMax: 9 },
      [
        [0, 1],
        [1, 1],
      ],
    ],
  ];
  for (const [name, spans, limits, expected] of cases) {
    test(name, () => {
      expect(planBlocks(spans, { ...limits, cuts: none }).map(({ address, count }) => [address, count])).toEqual(
        expected,
      );
    });
  }
});

const spans = fc.array(
  fc.record({
    table: fc.constantFrom<Span['table']>('holding', 'input'),
    address: fc.integer({ min: 0, max: 300 }),
    count: fc.integer({ min: 1, max: 4 }),
  }),
  { minLength: 1, maxLength: 40 },
);
const inside = (block: Block, { table, address, count }: Span): boolean =>
  block.table === table && address >= block.address && address + count <= block.address + block.count;

test('every span is in one block, no block is too large, no hole too wide', () => {
  fc.assert(
    fc.property(
      spans,
      fc.integer({ min: 4, max: 60 }),
      fc.integer({ min: 0, max: 20 }),
      (wanted, registersMax, holeMax) => {
        const blocks = planBlocks(wanted, { registersMax, holeMax, cuts: none });
        for (const entry of wanted) expect(blocks.filter((block) => inside(block, entry)).length).toBeGreaterThan(0);
        for (const block of blocks) {
          expect(block.count).toBeLessThanOrEqual(registersMax);
          let hole = 0;
          for (let address = block.address; address < block.address + block.count; address++) {
            const used = wanted.some(
              (entry) => inside(block, entry) && address >= entry.address && address < entry.address + entry.count,
            );
            hole = used ? 0 : hole + 1;
            expect(hole).toBeLessThanOrEqual(holeMax);
          }
        }
      },
    ),
  );
});

test('spans that share registers stay together, and the block is cut elsewhere', () => {
  const span = (address: number, count: number) => ({ table: 'holding' as const, address, count });
  const wanted = [span(2, 1), span(1, 2), span(0, 1)];
  const [block] = planBlocks(wanted, { registersMax: 60, holeMax: 20, cuts: new Set() });
  expect(cutOf(block as Exclude<typeof block, undefined>, wanted)).toBe('holding 1');
});

test('a refused block is cut until only single spans are left', () => {
  fc.assert(
    fc.property(spans, (wanted) => {
      const cuts = new Set<string>();
      for (let round = 0; round < 200; round++) {
        const blocks = planBlocks(wanted, { registersMax: 60, holeMax: 20, cuts });
        const fresh = blocks.map((block) => cutOf(block, wanted)).filter((cut) => cut !== null && !cuts.has(cut));
        if (fresh.length === 0) {
          // Nothing inside a block is left that it could be cut before.
          for (const block of blocks) {
            const within = wanted.filter((entry) => inside(block, entry));
            // A span that another one reaches over cannot be cut off.
            const reachedOver = (at: number): boolean =>
              within.some(({ address, count }) => address < at && at < address + count);
            const starts = within.map(({ address }) => address).filter((address) => !reachedOver(address));
            const uncut = new Set(starts.filter((address) => !cuts.has(`${block.table} ${address}`)));
            uncut.delete(block.address);
            expect(uncut).toEqual(new Set());
          }
          return;
        }
        for (const cut of fresh) cuts.add(cut as string);
      }
      expect.fail('it never ends');
    }),
  );
});
