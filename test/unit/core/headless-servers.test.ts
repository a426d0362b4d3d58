import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HeadlessServers } from '../../../daemon/core/headless-servers.ts';
import { Home } from '../../../daemon/home/home.ts';
import { Log } from '../../../daemon/home/log.ts';
import { listenLocal } from '../../../daemon/process/local-socket.ts';
import { encode } from '../../../shared/rpc/frames.ts';
import { Peer } from '../../../shared/rpc/peer.ts';
import { SocketTransport } from '../../../shared/transport/socket-transport.ts';

let folder: string;
let home: Home;
let servers: HeadlessServers;
const open: { server: Server; sockets: Set<Socket> }[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-servers-'));
  home = new Home(folder);
  servers = new HeadlessServers(home, () => 'here', new Log('test'));
});
afterEach(() => {
  servers.close();
  for (const { server, sockets } of open.splice(0)) {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
  rmSync(folder, { recursive: true, force: true });
});

/** A headless server of another build that meets each connection with `accept`. */
async function headless(generation: string, accept: (socket: Socket) => void): Promise<void> {
  home.folder('headless');
  const record = { generation, pid: 4321, version: '0.1.0', startedAt: new Date(0).toISOString() };
  writeFileSync(home.path('headless', `${generation}.json`), JSON.stringify(record));
  const sockets = new Set<Socket>();
  const server = await listenLocal(home.socket(`headless-${generation}`), (socket) => {
    sockets.add(socket.on('error', () => undefined).on('close', () => sockets.delete(socket)));
    accept(socket);
  });
  open.push({ server, sockets });
}

/** Tells of no sessions, for as long as it is asked to. */
function serve(socket: Socket): void {
  new Peer(new SocketTransport(socket), {
    face: 'headless',
    software: 'test',
    serve: async (call) => {
      call.emit({ sessions: [] });
      await new Promise<void>((done) => call.signal.addEventListener('abort', () => done()));
      return { value: {} };
    },
  });
}

const reached = (): string[] => servers.all.map(({ generation }) => generation).sort();

describe('the headless servers that a daemon finds', () => {
  test('are reached where they are well; one that hangs is told, and reached once it goes on', async () => {
    const held: Socket[] = [];
    await headless('hangs', (socket) => held.push(socket));
    await headless('well', serve);
    const before = performance.now();
    await servers.findRunning();
    expect(performance.now() - before).toBeLessThan(5_000);
    expect(reached()).toEqual(['well']);
    expect(servers.unreached).toEqual([
      { generation: 'hangs', pid: 4321, version: '0.1.0', error: 'it does not answer' },
    ]);
    for (const socket of held) serve(socket);
    await expect.poll(reached).toEqual(['hangs', 'well']);
    expect(servers.unreached).toEqual([]);
  });

  test('are tried again as long as they run', async () => {
    let broken = true;
    await headless('flaky', (socket) => (broken ? socket.destroy() : serve(socket)));
    await headless('leaves', (socket) => socket.destroy());
    await servers.findRunning();
    expect(servers.unreached.map(({ generation }) => generation).sort()).toEqual(['flaky', 'leaves']);
    broken = false;
    open.at(-1)?.server.close();
    await expect.poll(() => [reached(), servers.unreached], { timeout: 10_000 }).toEqual([['flaky'], []]);
  });

  test('are left with their sessions where they speak another protocol, with a way to them', async () => {
    await headless('older', (socket) => {
      const hello = encode.json('hello', true, 0, {
        protocol: { min: 0, max: 0 },
        software: '0.0.1',
        face: 'headless',
      });
      const transport = new SocketTransport(socket);
      transport.start({ message: () => undefined, writable: () => undefined, closed: () => undefined });
      transport.send(hello.head, hello.body);
    });
    await servers.findRunning();
    expect(reached()).toEqual([]);
    const [{ error } = { error: '' }] = servers.unreached;
    expect(error).toMatch(/speaks protocol 0 to 0.*niia 0\.1\.0 reaches them.*--allow-downgrade.*kill 4321/);
  });

  test('are none where a record is damaged, or nobody listens any more', async () => {
    home.folder('headless');
    writeFileSync(home.path('headless', 'torn.json'), '{"gen');
    const record = { generation: 'gone', pid: 4321, version: '0.1.0', startedAt: '' };
    writeFileSync(home.path('headless', 'gone.json'), JSON.stringify(record));
    await servers.findRunning();
    expect([reached(), servers.unreached]).toEqual([[], []]);
  });
});
