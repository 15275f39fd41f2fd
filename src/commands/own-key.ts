// The key file that a program signs with, held against who the genesis says its owner is.

import { WattpactError } from '../base/errors.ts';
import { type Key, loadKey } from '../keys/files.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { printNote } from './output.ts';

/** The key of a party. Throws `key.other` for that of another; one that no genesis can know is told: parties are admitted and rekeyed later. */
export function loadOwnKey(file: string, party: string, genesis: Genesis): Key {
  const key = loadKey(file);
  const known = new Map([
    ...genesis.gateways.map(({ gateway, publicKey }): [string, string] => [gateway, publicKey]),
    ...[...genesis.validators, ...genesis.operators, ...genesis.utilities].map(
      ({ id, publicKey }): [string, string] => [id, publicKey],
    ),
  ]);
  const owner = [...known].find(([, publicKey]) => publicKey === key.publicKey)?.[0];
  if (owner !== undefined && owner !== party) {
    throw new WattpactError('key.other', `${file} is the key of ${owner}, not of ${party}`, {
      hint: `Name the key file of ${party}, or start what belongs to ${owner}`,
    });
  }
  if (owner === undefined && known.has(party))
    printNote(`${file} is not the key that ${party} has in the genesis: right only if it was replaced since`);
  return key;
}
