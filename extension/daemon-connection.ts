// The one file that knows Node's sockets, hashes and folders of the user.
import { createHash, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { constants, homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { NiiaError } from '../shared/errors.ts';
import { socketPath } from '../shared/home/socket-path.ts';
import { Peer } from '../shared/rpc/peer.ts';
import { SocketTransport } from '../shared/transport/socket-transport.ts';

export interface DaemonAddress {
  /** Absolute path of the machine's home. */
  home: string;
  socket: string;
}

/** Where the daemon is: the home that the setting names, else `NIIA_HOME`, else `~/.niia`. */
export function daemonAddress(setting: string, env: NodeJS.ProcessEnv = process.env): DaemonAddress {
  const home = resolve(expandHome(setting.trim()) || env['NIIA_HOME'] || join(homedir(), '.niia'));
  const socket = socketPath(
    {
      home,
      platform: process.platform,
      runtimeDir: env['XDG_RUNTIME_DIR'] || undefined,
      tmpDir: tmpdir(),
      homeHash: createHash('sha256').update(home).digest('hex').slice(0, 12),
    },
    'daemon',
  );
  return { home, socket };
}

/** A path from the settings: `~` is the user's folder. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') || path.startsWith('~\\') ? join(homedir(), path.slice(1)) : path;
}

/**
 * Connects and waits for the greeting. Rejects with `daemon_not_running` where nobody listens, with `version_mismatch`
 * where somebody speaks another version. `lost` is called once, after success only.
 */
export function openDaemon(socket: string, software: string, lost: (error: NiiaError) => void): Promise<Peer> {
  return new Promise((succeed, fail) => {
    const stream = connect(socket);
    const refused = (cause: Error): void => {
      stream.destroy();
      fail(whyNot(socket, cause));
    };
    stream.once('error', refused);
    stream.once('connect', () => {
      stream.off('error', refused);
      let greeted = false;
      const peer = new Peer(new SocketTransport(stream), {
        face: 'extension',
        software,
        greeted: () => {
          greeted = true;
          succeed(peer);
        },
        closed: (error) => (greeted ? lost(error) : fail(error)),
      });
    });
  });
}

function whyNot(socket: string, cause: Error): NiiaError {
  const code = 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new NiiaError('daemon_not_running', 'niia does not run on this machine', undefined, { cause });
  }
  return new NiiaError(
    'io',
    `the daemon's socket ${socket} cannot be reached: ${cause.message}`,
    'Look at the permissions of its folder, or name another home in the setting niia.home.',
    { cause },
  );
}

/** What makes a repeated request known as such to the other side. */
export function newKey(): string {
  return randomUUID();
}

/** What a shell would call the end by this signal. */
export function signalExitCode(signal: string): number {
  const number: unknown = Object.entries(constants.signals).find(([name]) => name === signal)?.[1];
  return typeof number === 'number' ? 128 + number : 1;
}
