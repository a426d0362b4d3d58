import type { Server, Socket } from 'node:net';
import type { IncomingCall, Principal, Reply } from '../../shared/rpc/call.ts';
import { Peer } from '../../shared/rpc/peer.ts';
import { SocketTransport } from '../../shared/transport/socket-transport.ts';
import type { Log } from '../home/log.ts';
import { keepSessionSocketFolder } from '../home/session-socket.ts';
import { version } from '../home/version.ts';
import { listenLocal } from '../process/local-socket.ts';
import type { HeadlessServers } from './headless-servers.ts';

export interface SessionSocketsOptions {
  servers: Pick<HeadlessServers, 'sessions'> & { changes: Pick<HeadlessServers['changes'], 'subscribe'> };
  serve: (call: IncomingCall, principal: Principal) => Promise<Reply>;
  machine: () => { name: string; id: string };
  log: Log;
}

/** A socket for each live worker session, which its environment names and which speaks for that session only. */
export class SessionSockets {
  readonly #o: SessionSocketsOptions;
  readonly #listening = new Map<string, Promise<Server | undefined>>();
  readonly #peers = new Map<Peer, string>();
  readonly #unsubscribe: () => void;
  #closed = false;

  constructor(options: SessionSocketsOptions) {
    this.#o = options;
    this.#unsubscribe = options.servers.changes.subscribe(() => this.#follow());
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    for (const session of [...this.#listening.keys()]) this.#stop(session);
  }

  #follow(): void {
    const live = new Map<string, string>();
    for (const { id, state, socket } of this.#o.servers.sessions)
      if (state !== 'exited' && socket) live.set(id, socket);
    for (const [session, path] of live) {
      if (!this.#listening.has(session)) this.#listening.set(session, this.#listen(session, path));
    }
    for (const session of [...this.#listening.keys()]) if (!live.has(session)) this.#stop(session);
  }

  async #listen(session: string, path: string): Promise<Server | undefined> {
    try {
      keepSessionSocketFolder(path);
      return await listenLocal(path, (socket) => this.#accept(session, socket));
    } catch (error) {
      // Its worker then reaches nobody, which is safe; everything else goes on.
      this.#o.log.warn("a session's own socket could not be opened", { session, path, error });
      return undefined;
    }
  }

  #stop(session: string): void {
    const listening = this.#listening.get(session);
    this.#listening.delete(session);
    void listening?.then((server) => server?.close());
    for (const [peer, of] of this.#peers) if (of === session) peer.close();
  }

  #accept(session: string, socket: Socket): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    const peer: Peer = new Peer(new SocketTransport(socket), {
      face: 'daemon',
      software: version,
      serve: (call) => {
        const { name, id } = this.#o.machine();
        const who = { kind: 'local', id, name: `${name}/${session}`, role: 'operator', session } as const;
        return this.#o.serve(call, who);
      },
      closed: () => this.#peers.delete(peer),
    });
    this.#peers.set(peer, session);
  }
}
