// `wattpact operator`: requests that change who takes part (and any other of an operator or utility): made as a file, signed by everybody who
// must, each on his own machine, and submitted by one.

import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { shortened } from '../base/words.ts';
import { admissionOf, gatewayIdOf } from '../gateway/equipment.ts';
import { type Key, loadKey } from '../keys/files.ts';
import { publicKeySchema } from '../protocol/envelope.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { ValidatorKey } from '../protocol/header.ts';
import { consensusQuorum } from '../protocol/quorum.ts';
import { loadSite } from '../site/load.ts';
import { withLedger } from './chain-book.ts';
import { Source } from './chain-source.ts';
import { feederCommand } from './operator-feeder.ts';
import { submitCommand } from './operator-submit.ts';
import { printLine } from './output.ts';
import {
  approve,
  isMembership,
  lacksPossession,
  membershipFile,
  possess,
  type RequestFile,
  readRequestFile,
  writeRequestFile,
} from './request-file.ts';
import { loadGenesis } from './runtime.ts';

interface Common {
  readonly genesis: string;
  readonly out: string;
}

interface NewKey {
  readonly publicKey?: string;
  readonly newKey?: string;
}

export function operatorCommand(): Command {
  const operator = new Command('operator').description(
    'admit, rekey and revoke gateways, change the validators, publish tariffs and limits: make a request, have it signed, submit it',
  );
  make(operator, 'member', 'a change of the validators: a new one, a new key of one, or one less')
    .argument('<validator>', 'its id')
    .option('--public-key <key>', 'its new key, base64url: `operator possess` adds the proof of its holder')
    .option('--new-key <file>', 'its new key file, if it is here: proves possession at once')
    .option('--remove', 'remove it')
    .option('--ledger <path>', "a validator's folder, to read the set in force from")
    .option('--api <url>', "a validator's open API, to ask for the set in force")
    .action(member);
  make(operator, 'admit', 'the admission of a site')
    .argument('<site>', 'its site file: devices and connection limits become what the chain knows of it')
    .requiredOption('--feeder <id>', 'its feeder')
    .requiredOption('--bus <id>', 'its bus')
    .option('--id <gateway>', 'its id (default: gateway-<site id>)')
    .option('--uncertainty-wh <wh>', 'uncertainty of a delivery that is free of penalty', Number, 50)
    .option('--public-key <key>', "the gateway's key, base64url")
    .option('--new-key <file>', "the gateway's key file, if it is here")
    .action(admit);
  make(
    operator,
    'rekey',
    'a new key of a gateway: the old one is void from the block on, open offers fall, cleared trades stand',
  )
    .argument('<gateway>', 'its id')
    .option('--public-key <key>', 'its new key, base64url')
    .option('--new-key <file>', 'its new key file, if it is here')
    .action(rekey);
  make(operator, 'revoke', 'the end of a gateway: its key is void, what was cleared is still settled')
    .argument('<gateway>', 'its id')
    .action((gateway: string, options: Common) => {
      const { chain } = loadGenesis(options.genesis);
      finish({ body: { gateway }, chain, kind: 'gateway.revoke' }, options);
    });
  sign(
    operator,
    'possess',
    'add the proof that the new key is held by who agrees; run by the holder of that key',
  ).action((file: string, { genesis, key }: { genesis: string; key: string }) => {
    writeRequestFile(file, possess(readRequestFile(file, loadGenesis(genesis)), loadKey(key)), false);
    printLine(`${file}: possession of the new key is proven`);
  });
  sign(operator, 'approve', 'approve a change of the validators, as a validator or as an operator')
    .requiredOption('--as <party>', 'who approves')
    .action(approval);
  operator.addCommand(feederCommand());
  operator.addCommand(submitCommand());
  return operator;
}

function make(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('-o, --out <file>', 'where to write the request');
}

function sign(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .argument('<file>', 'the request')
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .requiredOption('--key <file>', 'key to sign with');
}

/** The key that a request is about, and its file where that is at hand. */
function newKeyOf({ publicKey, newKey }: NewKey): { publicKey: string; key: Key | null } {
  if ((publicKey === undefined) === (newKey === undefined)) {
    throw new WattpactError('usage.key', 'one of --public-key and --new-key is wanted');
  }
  if (publicKey !== undefined && !publicKeySchema.safeParse(publicKey).success) {
    throw new WattpactError(
      'usage.key',
      `--public-key ${shortened(publicKey)} is no key: 32 bytes in base64url are wanted, 43 characters`,
    );
  }
  const key = newKey === undefined ? null : loadKey(newKey);
  return { publicKey: key?.publicKey ?? (publicKey as string), key };
}

async function member(
  validator: string,
  options: Common & NewKey & { remove?: true; ledger?: string; api?: string },
): Promise<void> {
  const genesis = loadGenesis(options.genesis);
  if (options.remove && (options.publicKey !== undefined || options.newKey !== undefined)) {
    throw new WattpactError('usage.key', '--remove brings no key');
  }
  const { publicKey, key } = options.remove ? { publicKey: null, key: null } : newKeyOf(options);
  const present = await setInForce(genesis, options);
  const known = present.find(({ id }) => id === validator);
  if (options.remove && known === undefined) {
    const ids = present.map(({ id }) => id).join(', ');
    throw new WattpactError('usage.validator', `there is no validator ${validator}; there are ${ids}`);
  }
  finish(membershipFile(genesis.chain, present, validator, publicKey), options, key);
  const others = present.length + (options.remove ? -1 : known === undefined ? 1 : 0);
  printLine(`  of ${present.length} validators, ${others} afterwards; of this set and no other: one change at a time`);
  printLine(
    `  wants the approval of ${consensusQuorum(present.length)} validators (${present.map(({ id }) => id).join(', ')}) and ${genesis.operatorThreshold} of the operators (${genesis.operators.map(({ id }) => id).join(', ')})`,
  );
}

/** Of a book that is trusted, or as an open API proves it from genesis. */
async function setInForce(
  genesis: Genesis,
  { genesis: file, ledger, api }: Common & { ledger?: string; api?: string },
): Promise<readonly ValidatorKey[]> {
  if ((ledger === undefined) === (api === undefined)) {
    throw new WattpactError('usage.ledger', 'one of --ledger and --api is wanted: to know the validators in force');
  }
  if (ledger !== undefined) {
    return withLedger({ genesis: file, ledger }, (book) =>
      [...book.validators()].map(([id, publicKey]) => ({ id, publicKey })),
    );
  }
  const sets = await new Source(api as string, genesis, null).sets();
  return sets.at(-1)?.validators ?? genesis.validators;
}

function admit(
  siteFile: string,
  options: Common & NewKey & { feeder: string; bus: string; id?: string; uncertaintyWh: number },
): void {
  const { chain } = loadGenesis(options.genesis);
  const { site } = loadSite(siteFile);
  const { publicKey, key } = newKeyOf(options);
  const { feeder, bus, uncertaintyWh } = options;
  const gateway = options.id ?? gatewayIdOf(site);
  const admission = admissionOf(site, { gateway, publicKey, feeder, bus, uncertaintyWhMax: uncertaintyWh });
  finish({ body: { admission, possession: '' }, chain, kind: 'gateway.admit' }, options, key);
}

function rekey(gateway: string, options: Common & NewKey): void {
  const { chain } = loadGenesis(options.genesis);
  const { publicKey, key } = newKeyOf(options);
  finish({ body: { gateway, possession: '', publicKey }, chain, kind: 'gateway.rekey' }, options, key);
}

function finish(file: RequestFile, { out }: Common, key: Key | null = null): void {
  const made = key === null ? file : possess(file, key);
  writeRequestFile(out, made, true);
  printLine(`${out}: ${made.kind}`);
  if (lacksPossession(made)) {
    printLine(`  the holder of the new key has still to sign: wattpact operator possess ${out} --genesis G --key NEW`);
  }
}

function approval(path: string, options: { genesis: string; key: string; as: string }): void {
  const genesis = loadGenesis(options.genesis);
  const key = loadKey(options.key);
  const file = readRequestFile(path, genesis);
  if (!isMembership(file)) {
    throw new WattpactError('usage.request', `${path}: a ${file.kind} needs no approval: its operator submits it`);
  }
  const operator = genesis.operators.find(({ id }) => id === options.as);
  if (operator !== undefined && operator.publicKey !== key.publicKey) {
    throw new WattpactError('usage.as', `${options.key} is not the key of operator ${options.as}`);
  }
  const { change } = file.body;
  const approved = approve(file, options.as, key);
  writeRequestFile(path, approved, false);
  const what = change.publicKey === null ? 'is removed' : `gets the key ${change.publicKey}`;
  printLine(`${options.as} approves: validator ${change.validator} ${what}, of the set ${change.validatorSet}`);
  printLine(`approved so far by ${approved.body.approvals.map(({ signer }) => signer).join(', ')}`);
}
