// `wattpact broker`: what an operator of another MQTT broker needs to let a chain's parties in.

import { Command } from 'commander';
import { keyIdOf } from '../keys/files.ts';
import { type BrokerUser, mosquittoRules } from '../messaging/rules.ts';
import type { Genesis } from '../protocol/genesis.ts';
import { printLine } from './output.ts';
import { loadGenesis } from './runtime.ts';

export function brokerCommand(): Command {
  const broker = new Command('broker').description('rules for MQTT brokers other than the embedded one');
  broker
    .command('rules')
    .description(
      'print an acl_file for mosquitto: each party of genesis by its key id, with exactly the topics it may use',
    )
    .requiredOption('--genesis <file>', 'genesis of the chain')
    .action(({ genesis }: { genesis: string }) => {
      const loaded = loadGenesis(genesis);
      printLine(mosquittoRules(loaded.chain, usersOf(loaded)).trimEnd());
    });
  return broker;
}

/** Everybody in genesis; the user name is the key id, which is also the client id that our programs use. */
export function usersOf(genesis: Genesis): readonly BrokerUser[] {
  const user = (id: string, publicKey: string, role: BrokerUser['party']['role']): BrokerUser => ({
    user: keyIdOf(publicKey),
    party: { id, role },
  });
  return [
    ...genesis.validators.map(({ id, publicKey }) => user(id, publicKey, 'validator')),
    ...genesis.operators.map(({ id, publicKey }) => user(id, publicKey, 'operator')),
    ...genesis.utilities.map(({ id, publicKey }) => user(id, publicKey, 'operator')),
    ...genesis.gateways.map(({ gateway, publicKey }) => user(gateway, publicKey, 'gateway')),
  ];
}
