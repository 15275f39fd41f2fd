import net from 'node:net';
import fc from 'fast-check';
import modbusSerial from 'modbus-serial';
import { afterEach, describe, expect, test } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../src/base/bytes.ts';
import { crc16, rtuFraming, tcpFraming } from '../../src/simulator/modbus/framing.ts';
import { answerPdu, type ModbusUnit } from '../../src/simulator/modbus/pdu.ts';
import { type AnswerUnit, serveTcp, type TcpBusServer } from '../../src/simulator/modbus/server.ts';

const HOST = '127.0.0.1';
const clock = { monotonicMs: () => performance.now() };

/** Registers and coils 0..99 that keep what is written; everything above is an illegal address. */
function memoryUnit(): ModbusUnit {
  const words = Uint16Array.from({ length: 100 }, (_, i) => i * 3);
  const bits = Array.from({ length: 100 }, (_, i) => i % 3 === 0);
  const outside = (address: number, count: number) => address + count > 100;
  return {
    readBits: (_, address, count) => (outside(address, count) ? 2 : bits.slice(address, address + count)),
    readRegisters: (_, address, count) => (outside(address, count) ? 2 : words.slice(address, address + count)),
    writeCoils(address, values) {
      if (outside(address, values.length)) return 2;
      values.forEach((value, i) => {
        bits[address + i] = value;
      });
      return 0;
    },
    writeRegisters(address, values) {
      if (outside(address, values.length)) return 2;
      words.set(values, address);
      return 0;
    },
  };
}

describe('the application protocol', () => {
  // Requests and responses as in the examples of the specification's section 6, on our registers.
  const cases: [string, string, string][] = [
    ['reads coils', '010000000a', '01024902'],
    ['reads discrete inputs', '0200000003', '020101'],
    ['reads holding registers', '0300010002', '030400030006'],
    ['reads input registers', '0400020001', '04020006'],
    ['writes a coil', '050001ff00', '050001ff00'],
    ['writes a register', '0600010203', '0600010203'],
    ['writes coils', '0f0000000a02cd01', '0f0000000a'],
    ['writes registers', '100001000204000a0102', '1000010002'],
    ['refuses an unknown function', '2b0e0100', 'ab01'],
    ['refuses no function at all', '', '8001'],
    ['refuses an address beyond', '0300630002', '8302'],
    ['refuses a range past 65535', '03ffff0002', '8302'],
    ['refuses to read nothing', '0300000000', '8303'],
    ['refuses 126 registers', '030000007e', '8303'],
    ['refuses 2001 bits', '01000007d1', '8103'],
    ['refuses a coil value between', '0500011234', '8503'],
    ['refuses a wrong byte count', '100001000203000a0102', '9003'],
    ['refuses a request cut short', '0300', '8303'],
    ['refuses writing past the end', '0600640001', '8602'],
  ];
  test.each(cases)('%s', (_, request, response) => {
    expect(toHex(answerPdu(memoryUnit(), fromHex(request)))).toBe(response);
  });

  test('what is written is read back', () => {
    const unit = memoryUnit();
    answerPdu(unit, fromHex('0f0000000a02cd01'));
    expect(toHex(answerPdu(unit, fromHex('010000000a')))).toBe('0102cd01');
    answerPdu(unit, fromHex('100001000204000a0102'));
    expect(toHex(answerPdu(unit, fromHex('0300010002')))).toBe('0304000a0102');
  });

  test('anything at all gets an answer of legal length', () => {
    const unit = memoryUnit();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 260 }), (request) => {
        const response = answerPdu(unit, request);
        expect(response.length).toBeGreaterThanOrEqual(2);
        expect(response.length).toBeLessThanOrEqual(253);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('frames', () => {
  test('the checksum of a known RTU frame', () => {
    expect(crc16(fromHex('010300000001840a'))).toBe(0);
  });

  test('however the stream is cut, the same requests come out', () => {
    const pdu = fc.constantFrom('0300010002', '010000000a', '0600010203', '100001000204000a0102', '0f0000000a02cd01');
    for (const framing of [tcpFraming, rtuFraming]) {
      fc.assert(
        fc.property(fc.array(pdu, { minLength: 1, maxLength: 6 }), fc.array(fc.nat(80)), (pdus, cuts) => {
          const frame = (unitId: number, hex: string) =>
            framing.join({ unitId, transaction: 7, pdu: fromHex(hex) }, fromHex(hex));
          const stream = concatBytes(...pdus.map((hex, i) => frame(i + 1, hex)));
          const edges = [0, ...cuts.map((cut) => Math.min(cut, stream.length)).sort((a, b) => a - b), stream.length];
          let rest: Uint8Array = new Uint8Array();
          const seen: string[] = [];
          for (let i = 1; i < edges.length; i++) {
            const split = framing.split(concatBytes(rest, stream.slice(edges[i - 1], edges[i])));
            rest = split.rest;
            seen.push(...split.frames.map((f) => `${f.unitId} ${toHex(f.pdu)}`));
          }
          expect(seen).toEqual(pdus.map((hex, i) => `${i + 1} ${hex}`));
          expect(rest.length).toBe(0);
        }),
      );
    }
  });

  test('RTU finds its way back after noise; a wrong checksum is no request', () => {
    const good = fromHex('010300000001840a');
    const damaged = fromHex('010300000001840b');
    const { frames } = rtuFraming.split(concatBytes(fromHex('ff00'), damaged, good));
    expect(frames.map(({ pdu }) => toHex(pdu))).toEqual(['0300000001']);
  });

  test('a TCP stream of another protocol is broken', () => {
    expect(tcpFraming.split(new TextEncoder().encode('GET / HTTP/1.1\r\n')).broken).toBe(true);
  });
});

describe('a bus', () => {
  let server: TcpBusServer | undefined;
  const clients: { close(done: () => void): void }[] = [];

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => new Promise<void>((done) => client.close(done))));
    await server?.close();
    server = undefined;
  });

  const plain =
    (unit: ModbusUnit): AnswerUnit =>
    (pdu) =>
      answerPdu(unit, pdu);

  async function serve(framing: 'tcp' | 'rtu', units: [number, AnswerUnit][]): Promise<TcpBusServer> {
    server = await serveTcp(new Map(units), { host: HOST, port: 0, framing, clock });
    return server;
  }

  async function client(port: number, framing: 'tcp' | 'rtu') {
    const master = new modbusSerial.default();
    await (framing === 'tcp' ? master.connectTCP(HOST, { port }) : master.connectTelnet(HOST, { port }));
    master.setTimeout(500);
    clients.push(master);
    return master;
  }

  test.each(['tcp', 'rtu'] as const)(
    'over %s answers several units on one port, each with its own registers',
    async (framing) => {
      const bus = await serve(framing, [
        [1, plain(memoryUnit())],
        [7, plain(memoryUnit())],
      ]);
      const master = await client(bus.port, framing);
      master.setID(1);
      await master.writeRegisters(10, [1, 65535]);
      await master.writeCoils(0, [true, true, false, true]);
      expect((await master.readHoldingRegisters(10, 2)).data).toEqual([1, 65535]);
      expect((await master.readCoils(0, 4)).data.slice(0, 4)).toEqual([true, true, false, true]);
      expect((await master.readInputRegisters(0, 100)).data.length).toBe(100);
      master.setID(7);
      expect((await master.readHoldingRegisters(10, 2)).data).toEqual([30, 33]);
      await expect(master.readHoldingRegisters(99, 2)).rejects.toMatchObject({ modbusCode: 2 });
    },
  );

  test('an unknown unit is silence over RTU', async () => {
    const master = await client((await serve('rtu', [[1, plain(memoryUnit())]])).port, 'rtu');
    master.setID(9);
    master.setTimeout(100);
    await expect(master.readHoldingRegisters(0, 1)).rejects.toMatchObject({ name: 'TransactionTimedOutError' });
  });

  test('an unknown unit is exception 11 over TCP', async () => {
    const master = await client((await serve('tcp', [[1, plain(memoryUnit())]])).port, 'tcp');
    master.setID(9);
    await expect(master.readHoldingRegisters(0, 1)).rejects.toMatchObject({ modbusCode: 11 });
  });

  test('a broadcast over RTU writes to every unit and nobody answers', async () => {
    const units = [memoryUnit(), memoryUnit()];
    const bus = await serve(
      'rtu',
      units.map((unit, i) => [i + 1, plain(unit)]),
    );
    const socket = net.connect(bus.port, HOST);
    clients.push({ close: (done) => socket.destroy().once('close', done) });
    const first = new Promise<Uint8Array>((resolve) => socket.once('data', resolve));
    const frame = (unitId: number, hex: string) =>
      rtuFraming.join({ unitId, transaction: 0, pdu: new Uint8Array() }, fromHex(hex));
    socket.write(concatBytes(frame(0, '0600051092'), frame(2, '0300050001')));
    expect(toHex(await first).slice(0, 10)).toBe('0203021092');
    for (const unit of units) expect(unit.readRegisters('holding', 5, 1)).toEqual(Uint16Array.of(0x1092));
  });

  test('requests that come together are answered in their order', async () => {
    const bus = await serve('tcp', [[1, plain(memoryUnit())]]);
    const socket = net.connect(bus.port, HOST);
    clients.push({ close: (done) => socket.destroy().once('close', done) });
    const requests = Array.from({ length: 40 }, (_, i) =>
      tcpFraming.join(
        { unitId: 1, transaction: i, pdu: new Uint8Array() },
        fromHex(`0300${toHex(Uint8Array.of(i))}0001`),
      ),
    );
    let got: Uint8Array = new Uint8Array();
    const all = new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        got = concatBytes(got, chunk);
        if (got.length >= 40 * 11) resolve();
      });
    });
    socket.write(concatBytes(...requests));
    await all;
    const answers = tcpFraming.split(got).frames;
    expect(answers.map(({ transaction }) => transaction)).toEqual(requests.map((_, i) => i));
    expect(answers.map(({ pdu }) => (pdu[2]! << 8) | pdu[3]!)).toEqual(requests.map((_, i) => i * 3));
  });

  test('half an RTU request is forgotten after a pause', async () => {
    let nowMs = 0;
    const units = new Map([[1, plain(memoryUnit())]]);
    server = await serveTcp(units, { host: HOST, port: 0, framing: 'rtu', clock: { monotonicMs: () => nowMs } });
    const socket = net.connect(server.port, HOST);
    socket.setNoDelay(true);
    clients.push({ close: (done) => socket.destroy().once('close', done) });
    const request = rtuFraming.join({ unitId: 1, transaction: 0, pdu: new Uint8Array() }, fromHex('0300020001'));
    const answer = () => new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(toHex(chunk))));
    const first = answer();
    socket.write(concatBytes(request, fromHex('01100000002040')));
    expect((await first).slice(0, 10)).toBe('0103020006');
    nowMs = 1000;
    const second = answer();
    socket.write(request);
    expect((await second).slice(0, 10)).toBe('0103020006');
  });

  test('who asks more than a slow device can answer is cut off', async () => {
    let release = () => {};
    const slow = new Promise<null>((resolve) => {
      release = () => resolve(null);
    });
    const bus = await serve('tcp', [[1, () => slow]]);
    const socket = net.connect(bus.port, HOST);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    for (let i = 0; i < 65; i++) socket.write(fromHex('000100000006010300000001'));
    await closed;
    release();
  });

  test('who does not speak Modbus is cut off', async () => {
    const bus = await serve('tcp', [[1, plain(memoryUnit())]]);
    const socket = net.connect(bus.port, HOST);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await closed;
  });

  test('a lost bus drops its masters and comes back', async () => {
    const bus = await serve('tcp', [[1, plain(memoryUnit())]]);
    const socket = net.connect(bus.port, HOST);
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    // The server knows of the connection once it answers.
    socket.write(fromHex('000100000006010300000001'));
    await new Promise<void>((resolve) => socket.once('data', () => resolve()));
    bus.setLost(true);
    await closed;
    bus.setLost(false);
    const master = await client(bus.port, 'tcp');
    master.setID(1);
    expect((await master.readHoldingRegisters(1, 1)).data).toEqual([3]);
  });

  test('a port in use is one clear error', async () => {
    const bus = await serve('tcp', []);
    await expect(serveTcp(new Map(), { host: HOST, port: bus.port, framing: 'tcp', clock })).rejects.toMatchObject({
      code: 'simulator.listen',
      message: `cannot serve devices on ${HOST}:${bus.port}`,
    });
  });
});
