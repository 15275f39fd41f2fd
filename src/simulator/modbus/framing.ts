// Requests out of a byte stream and responses into one, for Modbus TCP (MBAP header) and RTU (checksum). Pure.
// Sources: MODBUS Messaging on TCP/IP Implementation Guide V1.0b section 3.1; MODBUS over Serial Line V1.02 section 2.5.

import { concatBytes } from '../../base/bytes.ts';
import { PDU_BYTES_MAX } from './pdu.ts';

export interface Frame {
  readonly unitId: number;
  readonly pdu: Uint8Array;
  /** Transaction id of a TCP request; 0 over RTU. */
  readonly transaction: number;
}

/** What a stream holds so far: whole frames, the bytes left over, or that it cannot be Modbus. */
export interface Split {
  readonly frames: readonly Frame[];
  readonly rest: Uint8Array;
  readonly broken: boolean;
}

export interface Framing {
  split(bytes: Uint8Array): Split;
  join(request: Frame, responsePdu: Uint8Array): Uint8Array;
}

const MBAP_BYTES = 7;

export const tcpFraming: Framing = {
  split(bytes) {
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= MBAP_BYTES) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at);
      const length = view.getUint16(4);
      if (view.getUint16(2) !== 0 || length < 2 || length > PDU_BYTES_MAX + 1) {
        return { frames, rest: new Uint8Array(), broken: true };
      }
      const end = at + 6 + length;
      if (bytes.length < end) break;
      frames.push({ transaction: view.getUint16(0), unitId: view.getUint8(6), pdu: bytes.slice(at + MBAP_BYTES, end) });
      at = end;
    }
    return { frames, rest: bytes.slice(at), broken: false };
  },
  join(request, responsePdu) {
    const header = new Uint8Array(MBAP_BYTES);
    const view = new DataView(header.buffer);
    view.setUint16(0, request.transaction);
    view.setUint16(4, responsePdu.length + 1);
    header[6] = request.unitId;
    return concatBytes(header, responsePdu);
  },
};

/** Bytes that do not begin a valid frame are dropped one by one until one does: the stream finds its way back after noise. */
export const rtuFraming: Framing = {
  split(bytes) {
    const frames: Frame[] = [];
    let at = 0;
    while (at < bytes.length) {
      const length = rtuRequestBytes(bytes.subarray(at));
      if (length === null) break;
      const end = at + length;
      if (bytes.length < end) break;
      if (length === 0 || crc16(bytes.subarray(at, end)) !== 0) {
        at += 1;
        continue;
      }
      frames.push({ transaction: 0, unitId: bytes[at] ?? 0, pdu: bytes.slice(at + 1, end - 2) });
      at = end;
    }
    return { frames, rest: bytes.slice(at), broken: false };
  },
  join(request, responsePdu) {
    const body = concatBytes(Uint8Array.of(request.unitId), responsePdu);
    const crc = crc16(body);
    return concatBytes(body, Uint8Array.of(crc & 0xff, crc >> 8));
  },
};

/**
 * Length of the request that begins here: null when too short to tell, 0 when it cannot be one. A function we do not
 * serve is taken as 8 bytes, the length of most: with a right checksum it is answered by an exception.
 */
function rtuRequestBytes(bytes: Uint8Array): number | null {
  const code = bytes[1];
  if (code === undefined) return null;
  if (code === 0 || code > 0x7f) return 0;
  if (code !== 15 && code !== 16) return 8;
  const byteCount = bytes[6];
  if (byteCount === undefined) return null;
  return byteCount > PDU_BYTES_MAX - 6 ? 0 : 9 + byteCount;
}

/** CRC-16/MODBUS; 0 over a frame that ends in its own checksum. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return crc;
}
