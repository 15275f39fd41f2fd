// Which blocks of registers to read for what is wanted. Pure.

import type { Part, Table } from '../site/types.ts';
import { addressOf, type Layout, partAt } from './codec.ts';

export interface Block {
  readonly table: Table;
  readonly address: number;
  readonly count: number;
}

/** Registers that must come from one request. */
export type Span = Block;

export interface PlanLimits {
  readonly registersMax: number;
  /** Registers nobody wants that are read rather than asking twice. */
  readonly holeMax: number;
  /** Addresses before which a device refused to be read across: learnt from its exceptions. */
  readonly cuts: ReadonlySet<string>;
}

/** The blocks, by table and address, that cover every span; none larger than allowed, none across a cut. */
export function planBlocks(spans: readonly Span[], limits: PlanLimits): Block[] {
  const sorted = [...spans].sort((a, b) => (a.table < b.table ? -1 : a.table > b.table ? 1 : a.address - b.address));
  const blocks: { table: Table; address: number; count: number }[] = [];
  for (const span of sorted) {
    const last = blocks.at(-1);
    const end = span.address + span.count;
    if (
      last !== undefined &&
      last.table === span.table &&
      span.address - (last.address + last.count) <= limits.holeMax &&
      Math.max(end, last.address + last.count) - last.address <= limits.registersMax &&
      !limits.cuts.has(cutBefore(span))
    ) {
      last.count = Math.max(last.count, end - last.address);
    } else {
      blocks.push({ ...span });
    }
  }
  return blocks;
}

/** Name of the cut before a span. */
export function cutBefore(span: Span): string {
  return `${span.table} ${span.address}`;
}

/** Where to cut a refused block: before the span behind its largest hole; without holes, in the middle. Null: it cannot be cut. */
export function cutOf(block: Block, spans: readonly Span[]): string | null {
  const inside = spans
    .filter((span) => span.table === block.table && span.address >= block.address)
    .filter((span) => span.address + span.count <= block.address + block.count)
    .sort((a, b) => a.address - b.address);
  // A block can only be cut where no span reaches over: points that share registers stay together.
  const clean: Span[] = [];
  let best: Span | null = null;
  let widest = 0;
  let end = inside[0] === undefined ? 0 : inside[0].address + inside[0].count;
  for (const span of inside.slice(1)) {
    if (span.address >= end) clean.push(span);
    if (span.address - end > widest) {
      widest = span.address - end;
      best = span;
    }
    end = Math.max(end, span.address + span.count);
  }
  const cut = best ?? clean[Math.floor(clean.length / 2)];
  return cut === undefined ? null : cutBefore(cut);
}

/** The registers of a part and its scale register; an empty list when the device lacks the SunSpec model. */
export function spansOf(wanted: Part, layout: Layout): Span[] {
  const part = partAt(wanted, layout);
  const address = addressOf(part, layout);
  if (address === null) return [];
  const spans: Span[] = [{ table: part.table, address, count: part.length }];
  if (part.scaleRegister !== null) {
    const scale = addressOf(part.scaleRegister, layout);
    if (scale !== null) spans.push({ table: part.scaleRegister.table, address: scale, count: 1 });
  }
  return spans;
}

/** One span over all: for groups that must come from one request. Null when they lie in several tables or are too far apart. */
export function joined(spans: readonly Span[], registersMax: number): Span | null {
  const first = spans[0];
  if (first === undefined || spans.some((span) => span.table !== first.table)) return null;
  const address = Math.min(...spans.map((span) => span.address));
  const count = Math.max(...spans.map((span) => span.address + span.count)) - address;
  return count > registersMax ? null : { table: first.table, address, count };
}
