// What operators and utilities publish: feeders, limits of lines, baseline flows, tariffs. Each rule returns why the
// request is refused, or null after it has taken effect.

import type { Json } from '../base/canonical.ts';
import { intervalAt } from '../base/interval.ts';
import type { Feeder } from '../protocol/genesis.ts';
import type { RequestBody } from '../protocol/requests.ts';
import { type Context, nextDueMs } from './context.ts';
import { notOperator } from './parties.ts';
import type { Table } from './state.ts';
import {
  ALL,
  accounts,
  baselines,
  feederAt,
  feeders,
  gateMs,
  grids,
  limits,
  members,
  padded,
  parties,
  settlementMs,
  sites,
  tariffs,
} from './tables.ts';

/** Statements kept of a kind and feeder; the oldest that are past go first, and with none past a new one is refused. */
const STATEMENTS_MAX = 512;
/** Versions of a feeder kept at once. */
const VERSIONS_MAX = 8;

export function feederPublish(context: Context, operator: string, body: RequestBody<'feeder.publish'>): string | null {
  const { state, genesis } = context;
  const { feeder, fromInterval } = body;
  const known = grids.get(state, ALL, feeder.id);
  if (feeder.operator !== operator || (known !== null && known.operator !== operator))
    return notOperator(operator, feeder.id);
  if (parties.get(state, ALL, feeder.utility)?.role !== 'utility') return `no utility ${feeder.utility} is known`;
  if (context.timeMs >= gateMs(genesis, fromInterval)) return `late: the gate of interval ${fromInterval} is closed`;
  const problem = feederProblem(feeder);
  if (problem !== null) return problem;
  const buses = new Set(feeder.buses.map(({ id }) => id));
  for (const gateway of members.names(state, feeder.id)) {
    const bus = sites.get(state, gateway, 'admission')?.bus;
    if (bus !== undefined && !buses.has(bus)) return `${gateway} is at bus ${bus}, which the new feeder lacks`;
  }
  const { latitudeDeg10, longitudeDeg10, utility } = feeder;
  forgetVersions(context, feeder.id);
  if (feeders.names(state, feeder.id).length >= VERSIONS_MAX)
    return `${VERSIONS_MAX} versions of ${feeder.id} are kept already`;
  if (!accounts.has(state, ALL, operator)) accounts.set(state, ALL, operator, '0');
  grids.set(state, ALL, feeder.id, { latitudeDeg10, longitudeDeg10, operator, utility });
  feeders.set(state, feeder.id, padded(fromInterval), feeder);
  return null;
}

/** All that was due before this instant is done: usually the block's time, earlier while a chain that stood still catches up. */
function doneUntilMs({ state, timeMs }: Context): number {
  return Math.min(timeMs, nextDueMs(state) ?? timeMs);
}

/** Versions that were replaced before any interval still to be settled. */
function forgetVersions(context: Context, feeder: string): void {
  const { state, genesis } = context;
  const { lengthMs, settlementMs: settleMs } = genesis.interval;
  const oldest = padded(Math.max(0, intervalAt(doneUntilMs(context) - settleMs, lengthMs) - 1));
  const names = feeders.names(state, feeder);
  for (const [i, name] of names.entries()) {
    const next = names[i + 1];
    if (next !== undefined && next <= oldest) feeders.delete(state, feeder, name);
  }
}

/** Why a feeder cannot be used, or null. */
export function feederProblem({ buses, voltage }: Feeder): string | null {
  const problem = treeProblem(buses);
  if (problem !== null || voltage === undefined) return problem;
  if (voltage.minPpm > voltage.rootPpm || voltage.rootPpm > voltage.maxPpm)
    return 'the root is outside the voltage band';
  const unknown = buses.find(
    ({ nominalV, parent, reactanceUohm, resistanceUohm }) =>
      parent !== null && (nominalV === undefined || reactanceUohm === undefined || resistanceUohm === undefined),
  );
  return unknown === undefined ? null : `the line of bus ${unknown.id} lacks the r, x or voltage that the band needs`;
}

/** Why the buses are no tree with one root, or null. */
function treeProblem(buses: readonly { readonly id: string; readonly parent: string | null }[]): string | null {
  const parentOf = new Map(buses.map(({ id, parent }) => [id, parent]));
  if (parentOf.size !== buses.length) return 'a bus appears twice';
  if (buses.filter(({ parent }) => parent === null).length !== 1) return 'a feeder has exactly one root';
  const rooted = new Set<string>();
  for (const { id } of buses) {
    const way: string[] = [];
    const onWay = new Set<string>();
    for (let at: string | null = id; at !== null && !rooted.has(at); ) {
      if (onWay.has(at)) return `the lines at bus ${at} form a loop`;
      const parent = parentOf.get(at);
      if (parent === undefined) return `no bus ${at}`;
      way.push(at);
      onWay.add(at);
      at = parent;
    }
    for (const bus of way) rooted.add(bus);
  }
  return null;
}

export function tariff(context: Context, utility: string, body: RequestBody<'tariff'>): string | null {
  if (feederAt(context.state, body.feeder, body.fromInterval)?.utility !== utility) {
    return `${utility} is not the utility of feeder ${body.feeder}`;
  }
  const { buyUcPerWh, buyWhMax, fromInterval, sellUcPerWh, sellWhMax, untilInterval } = body;
  return state(context, tariffs, body, { buyUcPerWh, buyWhMax, fromInterval, sellUcPerWh, sellWhMax, untilInterval });
}

export function limit(context: Context, operator: string, body: RequestBody<'limit'>): string | null {
  const { capacities, feeder, fromInterval, untilInterval } = body;
  const problem = busesProblem(context, operator, feeder, fromInterval, capacities);
  return problem ?? state(context, limits, body, { capacities, fromInterval, untilInterval });
}

export function baseline(context: Context, operator: string, body: RequestBody<'baseline'>): string | null {
  const { feeder, fromInterval, netExports, untilInterval } = body;
  const problem = busesProblem(context, operator, feeder, fromInterval, netExports);
  return problem ?? state(context, baselines, body, { fromInterval, netExports, untilInterval });
}

function busesProblem(
  context: Context,
  operator: string,
  feeder: string,
  fromInterval: number,
  named: readonly { readonly bus: string }[],
): string | null {
  if (grids.get(context.state, ALL, feeder)?.operator !== operator) return notOperator(operator, feeder);
  const buses = new Set(feederAt(context.state, feeder, fromInterval)?.buses.map(({ id }) => id));
  const seen = new Set<string>();
  for (const { bus } of named) {
    if (!buses.has(bus)) return `no bus ${bus} on feeder ${feeder}`;
    if (seen.has(bus)) return `bus ${bus} appears twice`;
    seen.add(bus);
  }
  return null;
}

/** Keeps a statement about intervals to come; past ones make room. */
function state<Row extends Json & { readonly fromInterval: number; readonly untilInterval: number }>(
  context: Context,
  table: Table<Row>,
  { feeder, sequence }: { feeder: string; sequence: number },
  row: Row,
): string | null {
  const { genesis, state, timeMs } = context;
  if (row.fromInterval >= row.untilInterval) return 'untilInterval must be after fromInterval';
  if (timeMs >= gateMs(genesis, row.fromInterval)) return `late: the gate of interval ${row.fromInterval} is closed`;
  const doneMs = doneUntilMs(context);
  for (const { name, value } of table.list(state, feeder)) {
    if (settlementMs(genesis, value.untilInterval - 1) < doneMs) table.delete(state, feeder, name);
  }
  if (table.names(state, feeder).length >= STATEMENTS_MAX) return `${STATEMENTS_MAX} such statements wait already`;
  table.set(state, feeder, padded(sequence), row);
  return null;
}
