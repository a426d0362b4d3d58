import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { ParamsOf } from '../../../shared/protocol/methods.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import { typedCall } from '../../../shared/rpc/client.ts';
import type { Running } from './support.ts';
import { as, soon, start } from './support.ts';

const bodyOf = (text: string) => ({ body: Buffer.from(text) });

/** A worker that counts how often it is asked, and answers slowly where it is told to. */
async function execWorker(running: Running): Promise<{ session: string; asked: () => string[] }> {
  const log = join(running.home.root, 'asked.txt');
  const script = `read -r line; echo "$line" >> '${log}'; case $line in slow*) sleep 0.5;; bad*) echo no >&2; exit 3;; esac; echo "got $line"`;
  const { session } = await running.ask('session.new', { worker: 'exec', argv: ['/bin/sh', '-c', script] });
  const text = () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
  return { session, asked: () => text().trim().split('\n') };
}

async function answer({ peer }: Running, params: ParamsOf<'session.answer'>, text: string) {
  const call = typedCall(peer, 'session.answer', params, bodyOf(text));
  const chunks: Uint8Array[] = [];
  call.source(streams.output).onData((bytes) => {
    chunks.push(Uint8Array.from(bytes));
    return undefined;
  });
  const result = await call.result;
  return { ...result, text: Buffer.concat(chunks).toString() };
}

describe('prompts', () => {
  test('are written down before they begin, and answered by what the command writes [WORK-1]', async () => {
    const running = await start();
    const { session, asked } = await execWorker(running);
    const result = await answer(running, { session, id: 'p1' }, 'one\n');
    expect(result).toMatchObject({ state: 'finished', source: 'stdout', exact: true, text: 'got one\n' });
    expect(asked()).toEqual(['one']);
    const journal = readFileSync(running.home.path('sessions', session, 'prompts.ndjson'), 'utf8')
      .trim()
      .split('\n');
    expect(journal.map((line) => (JSON.parse(line) as { is: string }).is)).toEqual([
      ...['accepted', 'typing', 'typed', 'submitted', 'finished'],
    ]);
  });

  test('are on the disk, and that they begin, before their command runs [WORK-1]', async () => {
    const running = await start();
    const argv = ['/bin/sh', '-c', 'cat "$NIIA_HOME/sessions/$NIIA_SESSION/prompts.ndjson"'];
    const { session } = await running.ask('session.new', { worker: 'exec', argv });
    const { text } = await answer(running, { session, id: 'p1' }, 'one');
    const seen = text.trim().split('\n');
    expect(seen.map((line) => JSON.parse(line) as object).slice(0, 2)).toMatchObject([
      ...[
        { is: 'accepted', id: 'p1', text: 'one' },
        { is: 'typing', id: 'p1' },
      ],
    ]);
  });

  test('are carried out once for an id, asked at the same time, again, and after a restart [WORK-2]', async () => {
    const running = await start();
    const { session, asked } = await execWorker(running);
    const same = { session, id: 'same', until: 'finished' } as const;
    const receipts = await Promise.all([1, 2, 3].map(() => running.ask('session.prompt', same, bodyOf('slow one'))));
    expect(new Set(receipts.map(({ finishedAt }) => finishedAt)).size).toBe(1);
    expect(await running.ask('session.prompt', same)).toEqual(receipts[0]);
    await expect(running.ask('session.prompt', same, bodyOf('another'))).rejects.toMatchObject({ code: 'usage' });
    await running.server.stop();
    const again = await start({ home: running.home });
    expect(await again.ask('session.prompt', same, bodyOf('slow one'))).toMatchObject({ state: 'finished' });
    expect(asked()).toEqual(['slow one']);
  });

  test('take their turn in order, or are refused where they shall not wait', async () => {
    const running = await start();
    const { session, asked } = await execWorker(running);
    const first = running.ask('session.prompt', { session, id: 'a', until: 'submitted' }, bodyOf('slow a'));
    await first;
    const params = { session, id: 'no', until: 'submitted', queue: false } as const;
    await expect(running.ask('session.prompt', params, bodyOf('no'))).rejects.toMatchObject({ code: 'busy' });
    const rest = ['b', 'c', 'd'].map((id) =>
      running.ask('session.prompt', { session, id, until: 'finished' }, bodyOf(id)),
    );
    await Promise.all(rest);
    expect(asked()).toEqual(['slow a', 'b', 'c', 'd']);
  });

  test('of which nothing is typed are gone with whoever gave up waiting, and may come again [WORK-3]', async () => {
    const running = await start();
    const { session, asked } = await execWorker(running);
    await running.ask('session.prompt', { session, id: 'a', until: 'submitted' }, bodyOf('slow a'));
    const params = { session, id: 'b', until: 'submitted' } as const;
    const given = running.ask('session.prompt', params, { ...bodyOf('given up'), deadlineMs: 100 });
    await expect(given).rejects.toMatchObject({ code: 'timeout' });
    await vi.waitFor(
      () => expect(running.ask('session.prompt', params)).rejects.toMatchObject({ code: 'usage' }),
      soon,
    );
    await running.ask('session.prompt', { session, id: 'b', until: 'finished' }, bodyOf('now'));
    expect(asked()).toEqual(['slow a', 'now']);
  });

  test('are written down to their end before their server is gone', async () => {
    const running = await start();
    const bash = { worker: 'shell', argv: ['/bin/bash', '--norc', '--noprofile'] };
    const { session } = await running.ask('session.new', bash);
    await running.ask('session.prompt', { session, id: 'a', until: 'submitted' }, bodyOf('sleep 9'));
    await running.server.stop();
    const journal = readFileSync(running.home.path('sessions', session, 'prompts.ndjson'), 'utf8');
    expect(journal.trim().split('\n').at(-1)).toMatch(/"is":"(finished|failed|unknown)"/);
  });

  test('that only waited are not run when the session is killed', async () => {
    const running = await start();
    const { session, asked } = await execWorker(running);
    const first = running.ask('session.prompt', { session, id: 'a', until: 'finished' }, bodyOf('slow a'));
    const rest = ['b', 'c'].map((id) => running.ask('session.prompt', { session, id, until: 'finished' }, bodyOf(id)));
    await expect.poll(asked, soon).toEqual(['slow a']);
    await running.ask('session.kill', { session });
    for (const ended of await Promise.allSettled([first, ...rest])) {
      expect(ended).toMatchObject({ status: 'rejected', reason: { code: 'failed' } });
    }
    expect(asked()).toEqual(['slow a']);
  });

  test('stay though somebody who only asked about them gave up', async () => {
    const running = await start();
    const { session, asked } = await execWorker(running);
    await running.ask('session.prompt', { session, id: 'a', until: 'submitted' }, bodyOf('slow a'));
    await running.ask('session.prompt', { session, id: 'b', until: 'accepted' }, bodyOf('b'));
    const status = running.ask('session.prompt', { session, id: 'b', until: 'finished' }, { deadlineMs: 50 });
    await expect(status).rejects.toMatchObject({ code: 'timeout' });
    await running.ask('session.prompt', { session, id: 'b', until: 'finished' });
    expect(asked()).toEqual(['slow a', 'b']);
  });

  test('have an exact answer only where it is text', async () => {
    const running = await start();
    const argv = ['/bin/sh', '-c', "printf 'a\\377b'"];
    const { session } = await running.ask('session.new', { worker: 'exec', argv });
    expect(await answer(running, { session, id: 'p' }, 'x')).toMatchObject({ exact: false, text: 'a\ufffdb' });
  });

  test('fail with what the command said last where its exit code is not 0', async () => {
    const running = await start();
    const { session } = await execWorker(running);
    const failed = answer(running, { session, id: 'p' }, 'bad');
    await expect(failed).rejects.toMatchObject({ code: 'failed', message: expect.stringMatching(/exit code 3: no/) });
  });

  test('of workers reach AI workers with words, and neither shells nor the asker itself [WORK-4]', async () => {
    const running = await start();
    const { session: shell } = await running.ask('session.new', { worker: 'shell', argv: ['/bin/sh'] });
    const params = { session: shell, id: 'p', until: 'submitted', careful: true } as const;
    await expect(running.ask('session.prompt', params, bodyOf('ls'))).rejects.toMatchObject({ code: 'denied' });
    const { session } = await execWorker(running);
    const itself = {
      machine: 'BOX',
      principal: { kind: 'local', id: 'm', name: 'x', role: 'operator', session },
    } as const;
    const own = { session, id: 'p', until: 'submitted', careful: true } as const;
    await expect(running.ask('session.prompt', own, { ...bodyOf('hi'), from: itself })).rejects.toThrow(/itself/);
  });

  test('need an operator', async () => {
    const running = await start();
    const { session } = await execWorker(running);
    const asked = running.ask(
      'session.prompt',
      { session, id: 'p', until: 'finished' },
      { ...bodyOf('x'), ...as('viewer') },
    );
    await expect(asked).rejects.toMatchObject({ code: 'denied' });
  });
});

describe('a shell as a worker', () => {
  test('gives back what each command wrote', async () => {
    const running = await start();
    const { session } = await running.ask('session.new', {
      ...{ worker: 'shell', argv: ['/bin/bash', '--norc', '--noprofile'] },
      env: { PS1: '$ ' },
    });
    const first = await answer(running, { session, id: '1' }, 'seq 1 3; echo "a  b"');
    expect([first.text, first.source]).toEqual(['1\n2\n3\na  b', 'output']);
    expect((await answer(running, { session, id: '2' }, 'for i in x y; do\necho $i\ndone')).text).toBe('x\ny');
  });

  test('gives back output that does not end its line, and none of a prompt of two lines', async () => {
    const running = await start();
    const shells = [
      { argv: ['/bin/bash', '--norc', '--noprofile'], env: { PS1: 'me\n$ ' } },
      { argv: ['/bin/dash'], env: { PS1: '$ ' } },
    ];
    for (const shell of shells) {
      const { session } = await running.ask('session.new', { worker: 'shell', ...shell });
      expect((await answer(running, { session, id: '1' }, 'printf foo')).text).toBe('foo');
      expect((await answer(running, { session, id: '2' }, 'echo me; echo me')).text).toBe('me\nme');
      expect((await answer(running, { session, id: '3' }, 'true')).text).toBe('');
    }
  });

  test('is not typed into while a person has half a line there [WORK-5]', async () => {
    const running = await start();
    const { session } = await running.ask('session.new', {
      ...{ worker: 'shell', argv: ['/bin/bash', '--norc', '--noprofile'] },
      env: { PS1: '$ ' },
    });
    await running.ask('session.wait', { session, until: { type: 'state', state: 'idle' } });
    await running.write(session, 'echo dra');
    const prompt = running.ask('session.prompt', { session, id: '1', until: 'finished' }, bodyOf('echo mine'));
    await running.ask('session.wait', { session, until: { type: 'idle', ms: 3500 } });
    expect((await running.ask('session.read', { session })).lines).toEqual(['$ echo dra']);
    await running.write(session, 'ft\r');
    await prompt;
    const { lines } = await running.ask('session.read', { session });
    expect(lines).toEqual(['$ echo draft', 'draft', '$ echo mine', 'mine', '$ ']);
  });

  test('is given its Enter before what a person types meanwhile, and then that [WORK-5]', async () => {
    const running = await start();
    const { session } = await running.ask('session.new', {
      ...{ worker: 'shell', argv: ['/bin/bash', '--norc', '--noprofile'] },
      env: { PS1: '$ ' },
    });
    const params = { session, id: '1', until: 'finished' } as const;
    const call = typedCall(running.peer, 'session.prompt', params, bodyOf('echo mine'));
    const theirs = new Promise<void>((resolve, reject) => {
      let begun = false;
      call.onEvent(({ receipt }) => {
        // Told more than once where it waits for a while.
        if (begun || receipt.state !== 'typed' || receipt.submittedAt !== null) return;
        begun = true;
        running.write(session, 'echo theirs\r').then(() => resolve(), reject);
      });
    });
    expect(await call.result).toMatchObject({ state: 'finished' });
    await theirs;
    await running.ask('session.wait', { session, until: { type: 'match', pattern: '^theirs', since: 0 } });
    const { lines } = await running.ask('session.read', { session });
    expect(lines.filter((line) => /^(\$ echo|mine|theirs)/.test(line))).toEqual([
      ...['$ echo mine', 'mine', '$ echo theirs', 'theirs'],
    ]);
  });
});

describe('questions', () => {
  // A program of its own: at its own prompt a shell asks nothing.
  const asks = `sh -c 'printf "Go on? [y/n] "; read a; echo "said $a"; printf "Sure? [y/n] "; read b; echo "and $b"; sleep 5'`;

  async function asked({ ask }: Running, command = asks) {
    const { session } = await ask('session.new', { worker: 'shell', argv: ['/bin/bash', '--norc', '--noprofile'] });
    await ask('session.wait', { session, until: { type: 'state', state: 'idle' } });
    await ask('session.prompt', { session, id: 'q', until: 'submitted' }, bodyOf(command));
    await ask('session.wait', { session, until: { type: 'state', state: 'blocked' } });
    const { questions } = await ask('session.approvals', {});
    return { session, question: questions[0] };
  }

  test('are answered once, and only as they stood when they were seen [WORK-6]', async () => {
    const running = await start();
    const { session, question } = await asked(running);
    expect(question).toMatchObject({ session, question: expect.stringMatching(/Go on\?/) });
    const id = question?.id ?? '';
    const both = await Promise.allSettled(
      [1, 2].map(() => running.ask('session.approve', { session, id, option: 'allow' })),
    );
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await running.ask('session.wait', { session, until: { type: 'match', pattern: 'Sure' } });
    await expect(running.ask('session.approve', { session, id, option: 'deny' })).rejects.toMatchObject({
      code: 'fenced',
    });
    const screen = (await running.ask('session.read', { session })).lines.join('\n');
    expect(screen.match(/^said/gm)).toHaveLength(1);
    expect(screen).not.toMatch(/^and/m);
  });

  test('are others when they are asked again word for word, without a moment of anything else [WORK-6]', async () => {
    const running = await start();
    const { ask } = running;
    const again = `sh -c 'printf "Go on? [y/n] "; read a; printf "Go on? [y/n] "; read b; echo "said $a$b"; sleep 5'`;
    const { session, question } = await asked(running, again);
    const [first] = (await ask('session.list', {})).sessions;
    await ask('session.approve', { session, id: question?.id ?? '', option: 'allow' });
    const [second] = (await ask('session.approvals', {})).questions;
    expect(second).toMatchObject({ question: question?.question });
    expect(second?.id).not.toBe(question?.id);
    // Whoever answers by policy is told of it as of another.
    expect((await ask('session.list', {})).sessions[0]?.stateSince).not.toBe(first?.stateSince);
    await ask('session.approve', { session, id: second?.id ?? '', option: 'deny' });
    await ask('session.wait', { session, until: { type: 'match', pattern: 'said yn', since: 0 } });
  });

  test('get the key of their answer and no other, though they stay where they are', async () => {
    const running = await start();
    const keys = join(running.home.root, 'keys');
    const blocked = '\\033]7501;state=blocked:app=codex:kind=permission\\033\\\\';
    const rows = ['• Running it', '', '  Go on?', '', '› 1. Yes, proceed (y)', '  2. No (esc)', ''].join('\\r\\n');
    const script = `stty raw -echo; printf '${blocked}${rows}'; exec cat > '${keys}'`;
    const { session } = await running.ask('session.new', { worker: 'codex', argv: ['/bin/sh', '-c', script] });
    await running.ask('session.wait', { session, until: { type: 'state', state: 'blocked' } });
    const [question] = (await running.ask('session.approvals', {})).questions;
    const answered = running.ask('session.approve', { session, id: question?.id ?? '', option: 'deny' });
    await expect(answered).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(readFileSync(keys, 'utf8')).toBe('2');
  });

  test('that are answered soon do not refuse a prompt that may wait', async () => {
    const running = await start();
    const { ask } = running;
    const { session, question } = await asked(running, `sh -c 'printf "Go on? [y/n] "; read a; echo "said $a"'`);
    const params = { session, id: 'p', until: 'finished' } as const;
    const call = typedCall(running.peer, 'session.prompt', params, bodyOf('echo then'));
    await new Promise<void>((resolve) => call.onEvent(() => resolve()));
    await ask('session.approve', { session, id: question?.id ?? '', option: 'allow' });
    expect(await call.result).toMatchObject({ state: 'finished' });
    const now = { ...params, id: 'no', queue: false } as const;
    expect(await ask('session.prompt', now, bodyOf('echo now'))).toMatchObject({ state: 'finished' });
  });

  test('refuse prompts, and answers of viewers', async () => {
    const running = await start();
    const { session, question } = await asked(running);
    const prompt = running.ask('session.prompt', { session, id: 'p', until: 'submitted' }, bodyOf('hello'));
    await expect(prompt).rejects.toMatchObject({ code: 'needs_approval' });
    const id = question?.id ?? '';
    const answered = running.ask('session.approve', { session, id, option: '1' }, as('viewer'));
    await expect(answered).rejects.toMatchObject({ code: 'denied' });
  });
});
