// How the HTTP servers of this folder begin and end.

import type { Server } from 'node:http';
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

/** Closes at once, whoever is still connected; resolves when the port is free. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
