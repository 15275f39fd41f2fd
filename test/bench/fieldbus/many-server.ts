// Many connections, every register holds its own address, each answer so much later: `node many-server.ts PORT [DELAY_MS]`.

import { createServer } from 'node:net';

const delayMs = Number(process.argv[3] ?? 0);

createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('data', (request) => {
    for (let at = 0; at + 12 <= request.length; at += 12) {
      const count = request.readUInt16BE(at + 10);
      const answer = Buffer.alloc(9 + 2 * count);
      request.copy(answer, 0, at, at + 4);
      answer.writeUInt16BE(3 + 2 * count, 4);
      request.copy(answer, 6, at + 6, at + 8);
      answer[8] = 2 * count;
      for (let i = 0; i < count; i++) answer.writeUInt16BE(request.readUInt16BE(at + 8) + i, 9 + 2 * i);
      if (delayMs === 0) socket.write(answer);
      else setTimeout(() => socket.write(answer), delayMs);
    }
  });
}).listen(Number(process.argv[2]), '127.0.0.1', 1024, () => process.stdout.write('ready\n'));
