import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ApprovalPolicies } from '../../../daemon/core/approval-policies.ts';
import type { AuditEntry } from '../../../daemon/core/audit.ts';
import { Log } from '../../../daemon/home/log.ts';
import type { ApprovalPolicy } from '../../../shared/protocol/policy-methods.ts';
import { typedCall } from '../../../shared/rpc/client.ts';
import { cleanup, soon, start } from '../headless/support.ts';

const policy = (name: string, effect: 'allow' | 'deny', pattern: string): ApprovalPolicy => ({
  ...{ name, effect, pattern, about: 'question', session: null, worker: null },
});

test('a question is answered by policy, its repetition too, and is in the audit log before it is typed [WORK-8]', async () => {
  const running = await start();
  const said = join(running.home.root, 'said');
  const command = `sh -c 'for i in 1 2; do printf "Go on? [y/n] "; read a; echo "$a" > "${said}$i"; done; sleep 9'`;
  const { session } = await running.ask('session.new', { worker: 'shell', argv: ['/bin/bash', '--norc'] });
  // As a daemon follows its headless server.
  let changed: () => void = () => undefined;
  const server = {
    ...{ generation: 'g1', peer: running.peer },
    sessions: (await running.ask('session.list', {})).sessions,
  };
  const watch = typedCall(running.peer, 'session.watch', {});
  watch.onEvent(({ sessions }) => {
    server.sessions = sessions;
    changed();
  });
  const audited: Array<[AuditEntry, boolean]> = [];
  const policies = new ApprovalPolicies({
    path: running.home.path('policies.json'),
    servers: {
      all: [server],
      changes: {
        subscribe: (listener) => {
          changed = listener;
          return () => undefined;
        },
      },
    },
    audit: { record: (entry) => audited.push([entry, existsSync(`${said}${audited.length + 1}`)]) },
    machine: () => ({ name: 'BOX', id: 'm' }),
    log: new Log('test'),
  });
  cleanup(() => policies.close());
  policies.set(policy('go', 'allow', 'Go on.*'));
  await running.ask('session.wait', { session, until: { type: 'state', state: 'idle' } });
  await running.ask('session.prompt', { session, id: 'q', until: 'submitted' }, { body: Buffer.from(command) });
  await expect.poll(() => existsSync(`${said}1`) && existsSync(`${said}2`), soon).toBe(true);
  const subject = expect.stringMatching(/"option":"allow","policy":"go"/);
  const entry = expect.objectContaining({ method: 'session.approve', outcome: 'allowed', subject });
  expect(audited).toEqual([
    [entry, false],
    [entry, false],
  ]);
});
