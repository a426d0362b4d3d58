import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { NiiaError } from '../../shared/errors.ts';
import type { PeerOptions } from '../../shared/rpc/peer.ts';
import { Peer } from '../../shared/rpc/peer.ts';
import { SocketTransport } from '../../shared/transport/socket-transport.ts';
import { isErrno } from '../home/files.ts';

/** Connects to a local socket. Rejects with `daemon_not_running` when nobody listens there. */
export async function connectLocal(path: string, options: PeerOptions): Promise<Peer> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
  } catch (cause) {
    socket.destroy();
    if (isErrno(cause, 'ENOENT', 'ECONNREFUSED')) {
      throw new NiiaError('daemon_not_running', `nobody listens on ${path}`, 'Start this machine with: niia up', {
        cause,
      });
    }
    throw cause;
  }
  return new Peer(new SocketTransport(socket), options);
}

/** Whether somebody listens on the socket. A file without a listener is what a killed process leaves behind. */
export async function isListening(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ECONNREFUSED')) return false;
    throw error;
  } finally {
    socket.destroy();
  }
}

/**
 * Listens on a local socket that only this user can reach. The caller holds the machine's lock for it: a socket file
 * that is there is stale and is replaced.
 */
export async function listenLocal(path: string, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: false }, accept);
  if (process.platform !== 'win32') rmSync(path, { force: true });
  const mask = process.umask(0o177);
  try {
    server.listen(path);
    await once(server, 'listening');
  } finally {
    process.umask(mask);
  }
  if (process.platform !== 'win32') chmodSync(path, 0o600);
  return server;
}
