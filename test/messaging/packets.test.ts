// The encoder under the MQTT libraries writes lengths as the standard says, and keeps no more of them than one small piece of memory.

import { expect, test } from 'vitest';
import '../../src/messaging/packets.ts';
import { createRequire } from 'node:module';

const packets = createRequire(createRequire(import.meta.url).resolve('mqtt'))('mqtt-packet') as {
  writeToStream: (packet: object, stream: { write: (part: Buffer | string) => boolean }) => boolean;
};

/** The parts in which a message with a payload of so many bytes is written. */
function written(payloadBytes: number): Buffer[] {
  const parts: Buffer[] = [];
  const stream = {
    write: (part: Buffer | string) => parts.push(typeof part === 'string' ? Buffer.from(part) : part) > 0,
  };
  packets.writeToStream({ cmd: 'publish', topic: 'a', payload: Buffer.alloc(payloadBytes), qos: 0 }, stream);
  return parts;
}

test.each([
  [0, '03'],
  [124, '7f'],
  [125, '8001'],
  [16_380, 'ff7f'],
  [16_381, '808001'],
  [2_097_148, 'ffff7f'],
  [2_097_149, '80808001'],
])('a payload of %i bytes has the length %s', (payloadBytes, length) => {
  const whole = Buffer.concat(written(payloadBytes));
  expect(whole.subarray(1, 1 + length.length / 2).toString('hex')).toBe(length);
  expect(whole.length).toBe(1 + length.length / 2 + 3 + payloadBytes);
});

test('whatever lengths were written, what is kept of them lies in one piece of memory', () => {
  const kept = new Set<ArrayBufferLike>();
  for (let payloadBytes = 0; payloadBytes < 16_000; payloadBytes += 7) {
    const [, length] = written(payloadBytes);
    kept.add((length as Buffer).buffer);
  }
  expect(kept.size).toBe(1);
  expect([...kept][0]?.byteLength).toBe(2 ** 15);
});
