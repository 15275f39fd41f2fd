// Key files: made closed, refused when others can read or replace them.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fromBase64url } from '../../src/base/bytes.ts';
import { generateKey, keyIdOf, loadKey, newKey } from '../../src/keys/files.ts';
import { fastVerify } from '../../src/keys/verify.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-keys-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const message = new TextEncoder().encode('message');

test('a key file is made closed, and signs the same after loading', () => {
  const path = join(folder, 'inner', 'node.pem');
  const made = generateKey(path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'inner')).mode & 0o777).toBe(0o700);
  const loaded = loadKey(path);
  expect([loaded.keyId, loaded.publicKey]).toEqual([made.keyId, made.publicKey]);
  expect(loaded.sign(message)).toEqual(made.sign(message));
  expect(fastVerify(loaded.sign(message), message, fromBase64url(loaded.publicKey))).toBe(true);
});

test('the key id is the start of the hash of the public key', () => {
  const { keyId, publicKey } = newKey();
  expect(keyId).toMatch(/^[0-9a-f]{32}$/);
  expect(createHash('sha256').update(fromBase64url(publicKey)).digest('hex').startsWith(keyId)).toBe(true);
  expect(keyIdOf(publicKey)).toBe(keyId);
});

test('a key that openssl makes is as good', () => {
  const path = join(folder, 'openssl.pem');
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', path]);
  chmodSync(path, 0o600);
  const { publicKey, sign } = loadKey(path);
  expect(fastVerify(sign(message), message, fromBase64url(publicKey))).toBe(true);
});

test('a key is never overwritten', () => {
  const path = join(folder, 'node.pem');
  const { keyId } = generateKey(path);
  expect(() => generateKey(path)).toThrow(/exists already/);
  expect(loadKey(path).keyId).toBe(keyId);
});

test('loose permissions are refused with what to do', () => {
  const path = join(folder, 'node.pem');
  generateKey(path);
  for (const mode of [0o640, 0o604, 0o660, 0o644, 0o666]) {
    chmodSync(path, mode);
    expect(() => loadKey(path), mode.toString(8)).toThrow(
      `key file ${path} is open to others (mode 0${mode.toString(8)})`,
    );
  }
  chmodSync(path, 0o400);
  expect(() => loadKey(path)).not.toThrow();
  for (const mode of [0o770, 0o777, 0o707]) {
    chmodSync(folder, mode);
    expect(() => loadKey(path), mode.toString(8)).toThrow(`others can replace keys in ${folder}`);
  }
  chmodSync(folder, 0o755);
  expect(() => loadKey(path)).not.toThrow();
});

test('a key of another user is refused, except by root', () => {
  const path = join(folder, 'node.pem');
  generateKey(path);
  const owner = statSync(path).uid;
  const self = vi.spyOn(process as { getuid: () => number }, 'getuid').mockReturnValue(owner + 1);
  try {
    expect(() => loadKey(path)).toThrow(`key file ${path} belongs to another user (uid ${owner})`);
    self.mockReturnValue(0);
    expect(() => loadKey(path)).not.toThrow();
  } finally {
    self.mockRestore();
  }
});

test('what is no key is refused in one line', () => {
  const write = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  expect(() => loadKey(join(folder, 'none.pem'))).toThrow(/^no key file /);
  expect(() => loadKey(write('noise', 'noise'))).toThrow(/no private key in PEM/);
  expect(() => loadKey(write('large', 'x'.repeat(5_000)))).toThrow(/is no key file/);
  mkdirSync(join(folder, 'directory'), { mode: 0o700 });
  expect(() => loadKey(join(folder, 'directory'))).toThrow(/is no key file/);
  const rsa = execFileSync('openssl', [
    'genpkey',
    '-algorithm',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
  ]).toString();
  expect(() => loadKey(write('p256', rsa))).toThrow(/of type ec, not Ed25519/);
});
