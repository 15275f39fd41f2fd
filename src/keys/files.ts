// Key files: one Ed25519 private key, PKCS #8 in PEM, readable by its owner alone. Owns reading and writing them.
// The key never leaves this module: the rest of the program gets a function that signs.
// Sources: RFC 8410 (PKCS #8 of Ed25519), RFC 7468 (PEM).

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as nodeSign,
} from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { fromBase64url, toHex } from '../base/bytes.ts';
import { WattpactError } from '../base/errors.ts';
import type { Sign } from '../protocol/envelope.ts';

/** Largest key file read; a PEM of Ed25519 has about 120 bytes. */
const KEY_FILE_BYTES_MAX = 4096;

/** A key as the programs hold it. */
export interface Key {
  /** First 32 hex digits of SHA-256(public key): the client id at brokers. */
  readonly keyId: string;
  /** base64url, 32 bytes. */
  readonly publicKey: string;
  readonly sign: Sign;
}

/** Key id of a public key (base64url): the first 32 hex digits of SHA-256 over its 32 bytes. */
export function keyIdOf(publicKey: string): string {
  return toHex(createHash('sha256').update(fromBase64url(publicKey)).digest()).slice(0, 32);
}

/** A new key that is kept nowhere. */
export function newKey(): Key {
  return keyOf(generateKeyPairSync('ed25519').privateKey);
}

/** Makes a key file (mode 0600, in a folder of mode 0700 if it must be made). Refuses to replace one: `key.exists`. */
export function generateKey(path: string): Key {
  const { privateKey } = generateKeyPairSync('ed25519');
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new WattpactError('key.exists', `${path} exists already`, {
        hint: 'A key is never overwritten: choose another name or move the old key away',
        cause,
      });
    }
    throw new WattpactError('key.write', `cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    writeSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return loadKey(path);
}

/** Loads a key file; throws `key.missing`, `key.permissions` or `key.invalid`. */
export function loadKey(path: string): Key {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new WattpactError('key.missing', missing ? `no key file ${path}` : `cannot read key file ${path}`, {
      hint: missing ? `Make one: wattpact keys generate ${path}` : (cause as Error).message,
      cause,
    });
  }
  try {
    const stat = fstatSync(file);
    refuseLoose(path, stat.mode, stat.uid);
    if (!stat.isFile() || stat.size > KEY_FILE_BYTES_MAX)
      throw new WattpactError('key.invalid', `${path} is no key file`);
    return keyOf(parsePrivateKey(path, readFileSync(file)));
  } finally {
    closeSync(file);
  }
}

function parsePrivateKey(path: string, pem: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch (cause) {
    throw new WattpactError('key.invalid', `${path} holds no private key in PEM (PKCS #8)`, { cause });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new WattpactError('key.invalid', `${path} holds a key of type ${key.asymmetricKeyType}, not Ed25519`);
  }
  return key;
}

/** A key that others can read or replace proves nothing: the file is 0600 or less, and nobody else writes its folder. */
function refuseLoose(path: string, mode: number, owner: number): void {
  const self = process.getuid?.();
  if (self !== undefined && owner !== self && self !== 0) {
    throw new WattpactError('key.permissions', `key file ${path} belongs to another user (uid ${owner})`, {
      hint: `chown it to the user that runs wattpact (uid ${self})`,
    });
  }
  if ((mode & 0o077) !== 0) {
    throw new WattpactError('key.permissions', `key file ${path} is open to others (mode ${octal(mode)})`, {
      hint: `chmod 600 ${path}; if others could read it, make a new key`,
    });
  }
  const folder = dirname(path);
  const folderMode = statSync(folder).mode;
  if ((folderMode & 0o022) !== 0) {
    throw new WattpactError('key.permissions', `others can replace keys in ${folder} (mode ${octal(folderMode)})`, {
      hint: `chmod go-w ${folder}`,
    });
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

function keyOf(privateKey: KeyObject): Key {
  const { x: publicKey } = createPublicKey(privateKey).export({ format: 'jwk' }) as { x: string };
  return {
    keyId: keyIdOf(publicKey),
    publicKey,
    sign: (message) => new Uint8Array(nodeSign(null, message, privateKey)),
  };
}
