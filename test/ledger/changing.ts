// A chain whose validators change: blocks certified by whoever is in force, and requests that change them.

import { toBase64url } from '../../src/base/bytes.ts';
import type { JsonObject } from '../../src/base/canonical.ts';
import { batchDigest } from '../../src/consensus/pbft/core/messages.ts';
import { type Certified, certify } from '../../src/ledger/certified.ts';
import { type Envelope, seal } from '../../src/protocol/envelope.ts';
import { headerHash, type ValidatorKey, validatorSetHash } from '../../src/protocol/header.ts';
import { consensusQuorum } from '../../src/protocol/quorum.ts';
import { approvalBytes, possessionBytes } from '../../src/protocol/requests.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { minutesAfter, publicKeyOf, signerOf, T, testGenesis, World } from './world.ts';

/** Names of test keys: a validator that was given another key signs with another name's. */
type KeyNames = ReadonlyMap<string, string>;

export class ChangingWorld extends World {
  /** Validator -> name of its key. */
  names: KeyNames;
  #minute = -60;

  constructor(genesis = testGenesis()) {
    super(genesis, openLedgerStore(':memory:'), true);
    this.names = new Map(genesis.validators.map(({ id }) => [id, id]));
  }

  /** A block a minute later, certified by a quorum of those in force. */
  next(...requests: Envelope[]): number {
    this.#minute += 1;
    return this.#order(requests, minutesAfter(T, this.#minute));
  }

  #order(requests: readonly Envelope[], timeMs: number): number {
    const batch = { requests, timeMs };
    const problem = this.ledger.verify(batch);
    if (problem !== null) throw new Error(problem);
    const head = this.ledger.head();
    const vote = { digest: batchDigest(batch), height: head.height + 1, parent: headerHash(head), view: 0 };
    const commits = [...this.names]
      .slice(-consensusQuorum(this.names.size))
      .map(([id, name]) => seal(this.genesis.chain, 'pbft.commit', id, vote, signerOf(name)));
    const certificate = { engine: 'pbft', engineHeight: vote.height, view: 0, proposer: 'v1', commits };
    return this.ledger.apply(batch, certificate).height;
  }

  /** Some block: a request that changes nothing of the market. */
  idle(): number {
    return this.next(this.offer('house', T, []));
  }

  set(): ValidatorKey[] {
    return [...this.names].map(([id, name]) => ({ id, publicKey: publicKeyOf(name) }));
  }

  /** The request that gives a validator this key (null: none), approved by these; nothing is ordered yet. */
  change(
    validator: string,
    keyName: string | null,
    approvers: readonly string[] = [...this.names.keys(), 'operator1'],
  ): Envelope {
    const publicKey = keyName === null ? null : publicKeyOf(keyName);
    const change = { publicKey, validator, validatorSet: validatorSetHash(this.set()) };
    const approvals = approvers.map((signer) => ({
      signature: toBase64url(signerOf(this.names.get(signer) ?? signer)(approvalBytes(this.genesis.chain, change))),
      signer,
    }));
    const possession =
      keyName === null ? null : toBase64url(signerOf(keyName)(possessionBytes(this.genesis.chain, change)));
    return this.sign('operator1', 'membership', { approvals, change, possession } as unknown as JsonObject);
  }

  /** Orders a change and the block above it; what proves it. */
  changed(validator: string, keyName: string | null): Certified {
    const request = this.change(validator, keyName);
    this.next(request);
    const names = new Map(this.names);
    if (keyName === null) names.delete(validator);
    else names.set(validator, keyName);
    this.names = names;
    this.idle();
    return this.proofOf(request);
  }

  proofOf(request: Envelope): Certified {
    const found = this.ledger.proofOf(this.idOf(request));
    if (found === null) throw new Error('no such request');
    return JSON.parse(JSON.stringify(certify(this.ledger, found))) as Certified;
  }
}
