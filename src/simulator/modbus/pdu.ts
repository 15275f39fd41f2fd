// The server's side of the Modbus application protocol: a request PDU in, a response PDU out. Pure.
// Source: MODBUS Application Protocol Specification V1.1b3, sections 6 and 7. Functions 1-6, 15 and 16; nothing else.

export const EXCEPTION = {
  illegalFunction: 1,
  illegalAddress: 2,
  illegalValue: 3,
  deviceFailure: 4,
  gatewayTarget: 11,
};

/** Most a single request may ask for, by the specification. */
export const LIMITS = { readBits: 2000, readRegisters: 125, writeBits: 1968, writeRegisters: 123 };

/** Longest PDU, bytes. */
export const PDU_BYTES_MAX = 253;

/** What a request runs against. Each method returns an exception code instead of data when it refuses. */
export interface ModbusUnit {
  readBits(table: 'coil' | 'discrete', address: number, count: number): readonly boolean[] | number;
  readRegisters(table: 'holding' | 'input', address: number, count: number): Uint16Array | number;
  /** Returns 0 when written. */
  writeCoils(address: number, values: readonly boolean[]): number;
  /** Returns 0 when written. */
  writeRegisters(address: number, values: Uint16Array): number;
}

const COIL_ON = 0xff00;

/** The response to one request PDU (function code and data, without unit id or checksum). */
export function answerPdu(unit: ModbusUnit, request: Uint8Array): Uint8Array {
  const code = request[0] ?? 0;
  const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
  switch (code) {
    case 1:
    case 2:
      return answerReadBits(unit, code, view);
    case 3:
    case 4:
      return answerReadRegisters(unit, code, view);
    case 5:
    case 6:
      return answerWriteOne(unit, code, view, request);
    case 15:
    case 16:
      return answerWriteMany(unit, code, view, request);
    default:
      return exceptionPdu(code, EXCEPTION.illegalFunction);
  }
}

export function exceptionPdu(functionCode: number, exception: number): Uint8Array {
  return Uint8Array.of(functionCode | 0x80, exception);
}

/** Whether a request changes anything (broadcasts may only write). */
export function isWrite(functionCode: number): boolean {
  return functionCode === 5 || functionCode === 6 || functionCode === 15 || functionCode === 16;
}

function answerReadBits(unit: ModbusUnit, code: 1 | 2, view: DataView): Uint8Array {
  const range = readRange(view, LIMITS.readBits);
  if (typeof range === 'number') return exceptionPdu(code, range);
  const bits = unit.readBits(code === 1 ? 'coil' : 'discrete', range.address, range.count);
  if (typeof bits === 'number') return exceptionPdu(code, bits);
  const response = new Uint8Array(2 + Math.ceil(range.count / 8));
  response[0] = code;
  response[1] = response.length - 2;
  for (let i = 0; i < range.count; i++) {
    if (bits[i]) response[2 + (i >> 3)]! |= 1 << (i & 7);
  }
  return response;
}

function answerReadRegisters(unit: ModbusUnit, code: 3 | 4, view: DataView): Uint8Array {
  const range = readRange(view, LIMITS.readRegisters);
  if (typeof range === 'number') return exceptionPdu(code, range);
  const words = unit.readRegisters(code === 3 ? 'holding' : 'input', range.address, range.count);
  if (typeof words === 'number') return exceptionPdu(code, words);
  const response = new Uint8Array(2 + 2 * range.count);
  const out = new DataView(response.buffer);
  response[0] = code;
  response[1] = 2 * range.count;
  for (let i = 0; i < range.count; i++) out.setUint16(2 + 2 * i, words[i] ?? 0);
  return response;
}

function answerWriteOne(unit: ModbusUnit, code: 5 | 6, view: DataView, request: Uint8Array): Uint8Array {
  if (view.byteLength !== 5) return exceptionPdu(code, EXCEPTION.illegalValue);
  const address = view.getUint16(1);
  const value = view.getUint16(3);
  if (code === 5 && value !== 0 && value !== COIL_ON) return exceptionPdu(code, EXCEPTION.illegalValue);
  const refused =
    code === 5 ? unit.writeCoils(address, [value === COIL_ON]) : unit.writeRegisters(address, Uint16Array.of(value));
  return refused === 0 ? Uint8Array.from(request) : exceptionPdu(code, refused);
}

function answerWriteMany(unit: ModbusUnit, code: 15 | 16, view: DataView, request: Uint8Array): Uint8Array {
  if (view.byteLength < 6) return exceptionPdu(code, EXCEPTION.illegalValue);
  const address = view.getUint16(1);
  const count = view.getUint16(3);
  const bytes = view.getUint8(5);
  const most = code === 15 ? LIMITS.writeBits : LIMITS.writeRegisters;
  const wanted = code === 15 ? Math.ceil(count / 8) : 2 * count;
  if (count < 1 || count > most || bytes !== wanted || view.byteLength !== 6 + bytes) {
    return exceptionPdu(code, EXCEPTION.illegalValue);
  }
  if (address + count > 0x1_0000) return exceptionPdu(code, EXCEPTION.illegalAddress);
  const refused =
    code === 15
      ? unit.writeCoils(
          address,
          Array.from({ length: count }, (_, i) => ((request[6 + (i >> 3)] ?? 0) & (1 << (i & 7))) !== 0),
        )
      : unit.writeRegisters(
          address,
          Uint16Array.from({ length: count }, (_, i) => view.getUint16(6 + 2 * i)),
        );
  return refused === 0 ? request.slice(0, 5) : exceptionPdu(code, refused);
}

function readRange(view: DataView, most: number): { address: number; count: number } | number {
  if (view.byteLength !== 5) return EXCEPTION.illegalValue;
  const address = view.getUint16(1);
  const count = view.getUint16(3);
  if (count < 1 || count > most) return EXCEPTION.illegalValue;
  if (address + count > 0x1_0000) return EXCEPTION.illegalAddress;
  return { address, count };
}
