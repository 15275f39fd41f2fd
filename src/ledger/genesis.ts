// The state and header of height 0, made from genesis alone.

import { toHex } from '../base/bytes.ts';
import { WattpactError } from '../base/errors.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { type Header, NO_PARENT, validatorSetHash } from '../protocol/header.ts';
import { merkleRoot } from '../protocol/merkle.ts';
import { feederProblem } from './grid.ts';
import { admit, keyProblem } from './parties.ts';
import { State } from './state.ts';
import { ALL, accounts, feeders, grids, padded, parties, validators } from './tables.ts';

/** Throws `genesis.invalid` for a weak key or a feeder that is no tree. */
export function genesisState(genesis: Genesis): State {
  const state = new State();
  const refuse = (where: string, problem: string | null): void => {
    if (problem !== null) throw new WattpactError('genesis.invalid', `genesis: ${where}: ${problem}`);
  };
  for (const { id, publicKey } of genesis.validators) {
    refuse(`validator ${id}`, keyProblem(publicKey));
    validators.set(state, ALL, id, publicKey);
  }
  for (const role of ['operator', 'utility'] as const) {
    for (const { id, publicKey } of role === 'operator' ? genesis.operators : genesis.utilities) {
      refuse(`${role} ${id}`, keyProblem(publicKey));
      parties.set(state, ALL, id, { publicKey, role });
      accounts.set(state, ALL, id, '0');
    }
  }
  for (const feeder of genesis.feeders) {
    refuse(`feeder ${feeder.id}`, feederProblem(feeder));
    const { latitudeDeg10, longitudeDeg10, operator, utility } = feeder;
    grids.set(state, ALL, feeder.id, { latitudeDeg10, longitudeDeg10, operator, utility });
    feeders.set(state, feeder.id, padded(0), feeder);
  }
  for (const admission of genesis.gateways) {
    refuse(`gateway ${admission.gateway}`, keyProblem(admission.publicKey));
    admit(state, admission);
  }
  state.commit();
  return state;
}

export function genesisHeader(genesis: Genesis, state: State): Header {
  return {
    chain: genesis.chain,
    height: 0,
    parent: NO_PARENT,
    resultsRoot: toHex(merkleRoot([])),
    stateHash: state.hash(),
    timeMs: genesis.clock.originMs,
    validatorSet: validatorSetHash(genesis.validators),
  };
}
