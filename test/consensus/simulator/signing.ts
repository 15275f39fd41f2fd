// Signatures for simulation: a table that cannot be forged (fast), or the real ones.

import { toBase64url } from '../../../src/base/bytes.ts';
import { canonicalText, type Json, type JsonObject } from '../../../src/base/canonical.ts';
import type { Message } from '../../../src/consensus/pbft/core/messages.ts';
import { fastVerify } from '../../../src/keys/verify.ts';
import { isSignedBy, seal } from '../../../src/protocol/envelope.ts';
import { type KeyPair, keyPair } from '../keys.ts';

export const CHAIN = 'toy-0000000000000000';

export interface Signing {
  /** Makes the key with a number; its public name. */
  newKey(number: number): string;
  sign(publicKey: string, signer: string, kind: string, body: unknown): Message;
  isSigned(message: Message, publicKey: string): boolean;
  /** A signature that nobody made. */
  forged(): string;
}

/** Every signature is the number of an entry; who has no key makes no entry. */
export function tableSigning(): Signing {
  const byText = new Map<string, string>();
  const entries = new Map<string, { publicKey: string; signer: string; kind: string; body: unknown; text: string }>();
  let forgeries = 0;
  return {
    newKey: (number) => `key-${number}`,
    sign(publicKey, signer, kind, body) {
      const text = textOf(kind, body);
      const name = `${publicKey} ${signer} ${text}`;
      let signature = byText.get(name);
      if (signature === undefined) {
        signature = `signature-${entries.size}`;
        byText.set(name, signature);
        entries.set(signature, { publicKey, signer, kind, body, text });
      }
      return { body, kind, signature, signer } as Message;
    },
    isSigned(message, publicKey) {
      const entry = entries.get(message.signature);
      if (entry === undefined || entry.publicKey !== publicKey) return false;
      if (entry.signer !== message.signer || entry.kind !== message.kind) return false;
      return entry.body === message.body || entry.text === textOf(message.kind, message.body);
    },
    forged: () => `forged-${forgeries++}`,
  };
}

function textOf(kind: string, body: unknown): string {
  const { digest, height, parent, view } = body as Record<string, unknown>;
  // Votes are nearly everything; their text is cheap.
  if (digest !== undefined) return `${kind} ${digest} ${height} ${parent} ${view}`;
  return `${kind} ${canonicalText(body as Json)}`;
}

export function realSigning(): Signing {
  const keys = new Map<string, KeyPair>();
  const known = new WeakMap<object, string>();
  let forgeries = 0;
  return {
    newKey(number) {
      const pair = keyPair(number % 256);
      const publicKey = toBase64url(pair.publicKey);
      keys.set(publicKey, pair);
      return publicKey;
    },
    sign(publicKey, signer, kind, body) {
      return seal(CHAIN, kind, signer, body as JsonObject, (keys.get(publicKey) as KeyPair).sign) as unknown as Message;
    },
    isSigned(message, publicKey) {
      if (known.get(message) === publicKey) return true;
      const right = isSignedBy(CHAIN, message as never, publicKey, fastVerify);
      if (right) known.set(message, publicKey);
      return right;
    },
    forged: () => toBase64url(new Uint8Array(64).fill(++forgeries % 256)),
  };
}
