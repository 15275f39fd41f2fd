// How the HTTP servers of this folder begin and end.

import { type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { WattpactError } from '../base/errors.ts';

/** Listens; throws `<what>.port` in words for people if the address cannot be had. Resolves to the port. */
export function listenOn(server: Server, host: string, port: number, what: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const busy = cause.code === 'EADDRINUSE';
      reject(
        new WattpactError(
          `${what}.port`,
          `the ${what} cannot listen on ${host}:${port}: ${busy ? 'the port is busy' : cause.message}`,
          { hint: busy ? 'Choose another port, or stop what listens there' : 'Look at the host and port', cause },
        ),
      );
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/**
 * Answers what never became a request (no HTTP, too long a head, too slow) in JSON as a refused one, and ends the connection. For servers
 * whose answers are written in one piece: this one then stands behind whole ones.
 */
export function answerNoRequests(server: Server): void {
  server.on('clientError', ({ code }: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const [status, error] = NO_REQUESTS[code ?? ''] ?? [400, 'this is no request of HTTP/1.1'];
    const body = JSON.stringify({ error });
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n`;
    socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroy());
  });
}

const NO_REQUESTS: Readonly<Record<string, readonly [status: number, error: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the head of this request is too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'this request took too long to come'],
};

/** Closes at once, whoever is still connected; resolves when the port is free. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
