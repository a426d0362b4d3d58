// What a member machine does that means harm, or something else that keeps a computer as busy. usage:
//   requests HOME [TO]        requests to the daemon of HOME for machine TO (or for itself), as many as it takes
//   garbage HOME TEAM TO URL  paths to machine TO, which listens at URL, in the name of HOME, and noise on each of them
//   busy SHARE...             one thread for each that computes for this share of the time
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as after } from 'node:timers/promises';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { Home } from '../../daemon/home/home.ts';
import { dialDirect } from '../../daemon/paths/direct.ts';
import { connectLocal } from '../../daemon/process/local-socket.ts';
import { Identity } from '../../daemon/team/identity.ts';
import { ask } from '../../shared/rpc/client.ts';

const atOnce = 64;
const noiseBytes = 16 << 10;
const dialMs = 2_000;
/** Of each such stretch a share is spent computing; as short as the turns of a program that handles messages. */
const stretchMs = 2;

async function requests([home = '', to]: string[]): Promise<void> {
  const peer = await connectLocal(new Home(home).socket('daemon'), { face: 'bench', software: 'bench' });
  const flood = async (): Promise<void> => {
    // Refusals are answers like any other.
    while (!peer.closed) await ask(peer, 'team.show', {}, { to }).catch(() => undefined);
  };
  await Promise.all(Array.from({ length: atOnce }, flood));
}

async function garbage([home = '', team = '', to = '', url = '']: string[]): Promise<void> {
  const self = Identity.load(new Home(home));
  const noise = randomBytes(noiseBytes);
  for (;;) {
    const transport = await dialDirect(url, { self, team, to }, new AbortController().signal, dialMs).catch(
      () => undefined,
    );
    if (!transport) {
      await after(1);
      continue;
    }
    await new Promise<void>((resolve) => {
      let closed = false;
      let type = 0;
      const send = (): void => {
        if (closed) return;
        // Every kind of frame in turn, and what is none.
        for (let count = 0; count < 64 && transport.writable; count++) {
          transport.send(Buffer.of(type++ % 16), noise.subarray(0, 1 << (type % 15)));
        }
        if (transport.writable) setImmediate(send);
      };
      transport.start({
        message: () => undefined,
        writable: send,
        closed: () => {
          closed = true;
          resolve();
        },
      });
      send();
    });
  }
}

async function busy(shares: string[]): Promise<void> {
  const workers = shares.map((share) => new Worker(new URL(import.meta.url), { workerData: Number(share) }));
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
}

function compute(share: number): never {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const until = performance.now() + share * stretchMs;
    while (performance.now() < until);
    Atomics.wait(never, 0, 0, Math.max(0, 1 - share) * stretchMs);
  }
}

if (isMainThread) {
  const [role = '', ...args] = process.argv.slice(2);
  const roles: Record<string, (args: string[]) => Promise<void>> = { requests, garbage, busy };
  process.stdout.write('ready\n');
  await roles[role]?.(args);
} else compute(Number(workerData));
