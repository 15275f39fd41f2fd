// TCP links that a test can break: all, in one direction, or so that bytes wait. One link stands between one node and one broker.

import { createServer, connect as dial, type Server, type Socket } from 'node:net';

/**
 * through: bytes pass. cut: open connections end and new ones are refused. stalled: connections stay, nothing passes, and what was
 * said arrives when the link is let through. deaf: nothing passes to the node. mute: nothing passes to the broker.
 */
export type LinkMode = 'through' | 'cut' | 'stalled' | 'deaf' | 'mute';

interface Pair {
  readonly node: Socket;
  readonly broker: Socket;
}

export class Link {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  /** What holds at the moment, the latest last. */
  readonly #held: LinkMode[] = [];

  private constructor(server: Server, brokerPort: number) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on('connection', (node) => this.#carry(node, brokerPort));
  }

  static open(brokerPort: number): Promise<Link> {
    return new Promise((done, fail) => {
      const server = createServer();
      server.once('error', fail);
      server.listen(0, '127.0.0.1', () => done(new Link(server, brokerPort)));
    });
  }

  /** Breaks the link until the function it returns is called. Of several breaks at once the latest holds. */
  hold(mode: LinkMode): () => void {
    this.#held.push(mode);
    this.#renew();
    return () => {
      const at = this.#held.indexOf(mode);
      if (at >= 0) this.#held.splice(at, 1);
      this.#renew();
    };
  }

  heal(): void {
    this.#held.length = 0;
    this.#renew();
  }

  get #mode(): LinkMode {
    return this.#held.at(-1) ?? 'through';
  }

  #renew(): void {
    for (const pair of [...this.#pairs]) {
      if (this.#mode === 'cut') end(pair);
      else this.#open(pair);
    }
  }

  close(): void {
    this.#server.close();
    for (const pair of this.#pairs) end(pair);
  }

  #carry(node: Socket, brokerPort: number): void {
    if (this.#mode === 'cut') {
      node.destroy();
      return;
    }
    const broker = dial(brokerPort, '127.0.0.1');
    const pair: Pair = { node, broker };
    this.#pairs.add(pair);
    for (const socket of [node, broker]) {
      socket.setNoDelay(true);
      socket.on('error', () => end(pair));
      socket.on('close', () => {
        this.#pairs.delete(pair);
        end(pair);
      });
    }
    this.#open(pair);
  }

  /** Lets each direction of a connection flow, or holds it back. */
  #open({ node, broker }: Pair): void {
    flow(node, broker, this.#mode === 'through' || this.#mode === 'deaf');
    flow(broker, node, this.#mode === 'through' || this.#mode === 'mute');
  }
}

function flow(from: Socket, to: Socket, open: boolean): void {
  from.unpipe(to);
  if (open) from.pipe(to);
  else from.pause();
}

function end({ node, broker }: Pair): void {
  node.destroy();
  broker.destroy();
}
