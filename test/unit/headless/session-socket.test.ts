import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SessionSockets } from '../../../daemon/core/session-sockets.ts';
import { Log } from '../../../daemon/home/log.ts';
import {
  isSessionSocket,
  keepSessionSocketFolder,
  newSessionSocket,
  removeSessionSocket,
} from '../../../daemon/home/session-socket.ts';
import { connectLocal } from '../../../daemon/process/local-socket.ts';
import type { SessionInfo } from '../../../shared/protocol/shapes.ts';
import { ask } from '../../../shared/rpc/client.ts';
import { cleanup, soon, start, temporaryHome } from './support.ts';

describe("a worker's own socket", () => {
  test('is alone in a private folder outside of the home, which goes with the session [WORK-7]', async () => {
    const { ask, home } = await start();
    const told = join(home.root, 'told');
    const script = `printf %s "$NIIA_SOCKET" > '${told}.new'; mv '${told}.new' '${told}'; exec cat`;
    const { session } = await ask('session.new', { worker: 'generic', argv: ['/bin/sh', '-c', script] });
    await expect.poll(() => existsSync(told), soon).toBe(true);
    const address = readFileSync(told, 'utf8');
    const folder = dirname(address);
    expect((await ask('session.list', {})).sessions[0]?.socket).toBe(address);
    expect(folder.startsWith(home.root)).toBe(false);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect([isSessionSocket(home, session, address), isSessionSocket(temporaryHome(), session, address)]).toEqual([
      ...[true, false],
    ]);
    await ask('session.kill', { session });
    await expect.poll(() => existsSync(folder), soon).toBe(false);
  });

  test('serves its session as that and with no more rights than an operator, in no folder of others [WORK-7]', async () => {
    const home = temporaryHome();
    const [mine, open] = [newSessionSocket(home, 'local-1'), newSessionSocket(home, 'local-2')];
    for (const address of [mine, open]) cleanup(() => removeSessionSocket(address));
    chmodSync(dirname(open), 0o777);
    expect(() => keepSessionSocketFolder(open)).toThrow(/only this user/);
    const sessions = [
      { id: 'local-1', state: 'idle', socket: mine },
      { id: 'local-2', state: 'idle', socket: open },
    ] as unknown as SessionInfo[];
    let changed: () => void = () => undefined;
    const subscribe = (listener: () => void) => {
      changed = listener;
      return () => undefined;
    };
    const asked: unknown[] = [];
    const sockets = new SessionSockets({
      servers: { sessions, changes: { subscribe } },
      serve: async (call, principal) => {
        asked.push([call.header.m, principal]);
        return { value: { questions: [] } };
      },
      machine: () => ({ name: 'BOX', id: 'm' }),
      log: new Log('test'),
    });
    cleanup(() => sockets.close());
    changed();
    await expect.poll(() => existsSync(mine), soon).toBe(true);
    const peer = await connectLocal(mine, { face: 'test', software: 'test' });
    cleanup(() => peer.close());
    await ask(peer, 'session.approvals', {});
    const principal = { kind: 'local', id: 'm', name: 'BOX/local-1', role: 'operator', session: 'local-1' };
    expect(asked).toEqual([['session.approvals', principal]]);
    expect(existsSync(open)).toBe(false);
  });
});
