// A connection to a device on the network, made within a bounded time.

import { connect, type Socket } from 'node:net';

/** Connects, or fails within `connectTimeoutMs`. */
export function openSocket(
  host: string,
  port: number,
  connectTimeoutMs: number,
  done: (error: Error | null) => void,
): Socket {
  const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 });
  const timer = setTimeout(
    () => socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)),
    connectTimeoutMs,
  );
  const settle = (error: Error | null): void => {
    clearTimeout(timer);
    socket.off('connect', onConnect);
    socket.off('error', settle);
    done(error);
  };
  const onConnect = (): void => settle(null);
  socket.once('connect', onConnect);
  socket.once('error', settle);
  return socket;
}
