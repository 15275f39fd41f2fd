// `wattpact keys`: key files, and the vote log that goes with a validator's key.

import { Command } from 'commander';
import { generateKey, loadKey } from '../keys/files.ts';
import { createVoteLog } from '../store/votes.ts';
import { printJson, printLine } from './output.ts';

export function keysCommand(): Command {
  const keys = new Command('keys').description('make and show Ed25519 key files');
  keys
    .command('generate')
    .description('make a new key file, readable by its owner alone; an existing one is never replaced')
    .argument('<file>', 'where to keep it')
    .option('--votes <file>', 'also make the empty vote log of a validator with this key')
    .option('--json', 'one JSON document on standard output')
    .action((file: string, { votes, json }: { votes?: string; json?: true }) => {
      const { publicKey, keyId } = generateKey(file);
      if (votes !== undefined) createVoteLog(votes, publicKey);
      show({ file, publicKey, keyId }, json);
    });
  keys
    .command('show')
    .description('the public key and key id of a key file')
    .argument('<file>', 'the key file')
    .option('--json', 'one JSON document on standard output')
    .action((file: string, { json }: { json?: true }) => {
      const { publicKey, keyId } = loadKey(file);
      show({ file, publicKey, keyId }, json);
    });
  return keys;
}

function show(key: { file: string; publicKey: string; keyId: string }, json: true | undefined): void {
  if (json === true) printJson(key);
  else printLine(`${key.file}\n  public key  ${key.publicKey}\n  key id      ${key.keyId}`);
}
