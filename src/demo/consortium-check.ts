// What no single place of a consortium file can see: names that lead nowhere or stand twice, gates out of order, lines that form no tree.

import { nearest } from '../base/nearest.ts';
import { feederProblem } from '../ledger/grid.ts';
import type { Bus, Feeder } from '../protocol/genesis.ts';
import { listAt, recordAt, recordOf } from '../site/raw.ts';
import type { Path, Problem } from '../site/yaml.ts';

const PARTIES = ['validators', 'operators', 'utilities'] as const;

/** Problems of the document as written, found also while other parts are wrong. */
export function consortiumProblems(raw: unknown): Problem[] {
  const problems: Problem[] = [];
  const refer = (path: Path, value: unknown, known: readonly string[], what: string): void => {
    if (typeof value !== 'string' || known.includes(value)) return;
    const meant = nearest(value, known);
    problems.push({ path, message: `there is no ${what} ${value}${meant === null ? '' : `; did you mean ${meant}?`}` });
  };
  const taken = new Set<unknown>();
  for (const list of PARTIES) {
    for (const [i, name] of listAt(raw, list).entries()) {
      if (taken.has(name)) problems.push({ path: [list, i], message: `${String(name)} stands here a second time` });
      taken.add(name);
    }
  }
  const feeders = new Map<string, readonly string[]>();
  for (const [i, entry] of listAt(raw, 'feeders').entries()) {
    const { id, operator, utility } = recordOf(entry);
    const at = ['feeders', i];
    if (feeders.has(String(id)))
      problems.push({ path: [...at, 'id'], message: `feeder ${String(id)} stands here a second time` });
    refer([...at, 'operator'], operator, namesAt(raw, 'operators'), 'operator');
    refer([...at, 'utility'], utility, namesAt(raw, 'utilities'), 'utility');
    const records = listAt(entry, 'buses').map(recordOf);
    const names = records.map((bus) => String(bus.id));
    feeders.set(String(id), names);
    for (const [k, { parent }] of records.entries()) refer([...at, 'buses', k, 'parent'], parent, names, 'bus');
    const known = records.every(({ parent }) => parent === null || names.includes(String(parent)));
    const tree = known && records.length > 0 ? feederProblem({ buses: records as unknown as Bus[] } as Feeder) : null;
    if (tree !== null) problems.push({ path: [...at, 'buses'], message: tree });
  }
  for (const [i, entry] of listAt(raw, 'sites').entries()) {
    const { feeder, bus } = recordOf(entry);
    refer(['sites', i, 'feeder'], feeder, [...feeders.keys()], 'feeder');
    refer(['sites', i, 'bus'], bus, feeders.get(String(feeder)) ?? [String(bus)], `bus on feeder ${String(feeder)}:`);
  }
  const { gateOpenMinutes = 60, requestMinutes = 10, gateCloseMinutes = 5 } = recordAt(raw, 'interval');
  if (!(Number(gateOpenMinutes) > Number(requestMinutes) && Number(requestMinutes) > Number(gateCloseMinutes))) {
    const message = `the gate opens, gateways request, the gate closes: gateOpenMinutes (${String(gateOpenMinutes)}) > requestMinutes (${String(requestMinutes)}) > gateCloseMinutes (${String(gateCloseMinutes)}) must hold`;
    problems.push({ path: ['interval'], message });
  }
  return problems;
}

function namesAt(raw: unknown, key: string): readonly string[] {
  return listAt(raw, key).filter((name) => typeof name === 'string');
}
