// An operator's checkpoint, from a book to a gateway that was silent for too long.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { chainCommand } from '../../src/commands/chain.ts';
import { readCheckpoint } from '../../src/commands/chain-checkpoint.ts';
import { commitsAgree } from '../../src/consensus/certificates.ts';
import { createTrust } from '../../src/gateway/trust.ts';
import { generateKey } from '../../src/keys/files.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { openLedgerStore } from '../../src/store/ledger.ts';
import { minutesAfter, T, testGenesis, World } from './world.ts';

test('a file signed by `chain checkpoint` begins trust anew; what is no checkpoint is said', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-checkpoint-'));
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
  try {
    const files = ['operator', 'other', 'genesis', 'out'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
      string,
    ];
    const [keyFile, otherKey, genesisFile, out] = files;
    const key = generateKey(keyFile);
    generateKey(otherKey);
    const originMs = minutesAfter(T, 0) - 60 * 24 * 3_600_000;
    const genesis = testGenesis({
      operators: testGenesis().operators.map(({ id, publicKey }, i) => ({
        id,
        publicKey: i === 0 ? key.publicKey : publicKey,
      })),
      clock: { originMs, wallOriginMs: originMs, rate: 1 },
    });
    writeFileSync(genesisFile, JSON.stringify(genesis));
    const book = openLedgerStore(join(folder, 'ledger.sqlite'));
    const world = new World(genesis, book, true);
    world.block(minutesAfter(T, -20), world.offer('house', T, []));
    book.close();
    const sign = (as: string, file: string) =>
      chainCommand().parseAsync(
        ['checkpoint', '--genesis', genesisFile, '--ledger', folder, '--as', as, '--key', file, '--out', out],
        { from: 'user' },
      );
    await expect(sign('operator1', otherKey)).rejects.toThrow(/is not the key of an operator operator1/);
    await expect(sign('house', keyFile)).rejects.toThrow(/is not the key of an operator house/);
    await sign('operator1', keyFile);

    const clock = { chainMs: () => minutesAfter(T, 0), monotonicMs: () => 0 };
    const store = openGatewayStore(':memory:');
    const agreed = commitsAgree(genesis.chain, fastVerify);
    const trust = createTrust({ genesis, store, quorumAtLeast: 0, verify: fastVerify, agreed, clock, log: SILENT });
    expect(trust.obstacle()).toMatch(/get a fresh checkpoint/);
    trust.onCheckpoint(readCheckpoint(out));
    expect([trust.obstacle(), trust.highest()?.height]).toEqual([null, 1]);
    store.close();

    writeFileSync(out, '{"kind":"checkpoint"}');
    expect(() => readCheckpoint(out)).toThrow(`${out} is no checkpoint`);
    writeFileSync(out, 'nonsense');
    expect(() => readCheckpoint(out)).toThrow(`${out} is no checkpoint`);
    expect(() => readCheckpoint(join(folder, 'none'))).toThrow('there is no such file');
  } finally {
    write.mockRestore();
    rmSync(folder, { recursive: true });
  }
});
