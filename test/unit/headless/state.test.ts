import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { typedCall } from '../../../shared/rpc/client.ts';
import type { Running } from './support.ts';
import { as, soon, start, temporaryHome } from './support.ts';

async function info({ ask }: Running, session: string) {
  const found = (await ask('session.list', {})).sessions.find(({ id }) => id === session);
  if (!found) throw new Error(`no session ${session}`);
  return found;
}

const waitFor = ({ ask }: Running, session: string, state: 'idle' | 'busy' | 'blocked' | 'unknown') =>
  ask('session.wait', { session, until: { type: 'state', state } }, { deadlineMs: 15_000 });

describe('the state of a session', () => {
  test('is what its program says, with evidence, in lists, reads and waits', async () => {
    const running = await start();
    const message = Buffer.from('may I?').toString('base64');
    const { session } = await running.run(
      `printf '\\033]7501;state=working:app=thing\\007'; read x; printf '\\033]7501;state=blocked:app=thing:kind=permission:msg=${message}\\033\\\\'; exec cat`,
    );
    await waitFor(running, session, 'busy');
    await running.write(session, '\n');
    const waited = await waitFor(running, session, 'blocked');
    expect(waited.evidence).toBe('osc7501: thing says blocked (permission) "may I?"');
    const { state, evidence, stateEvidence, stateSince } = await info(running, session);
    expect({ state, evidence }).toEqual({ state: 'blocked', evidence: waited.evidence });
    expect(stateEvidence).toMatchObject({ source: 'program', rule: 'osc7501', confidence: 0.99 });
    expect(Date.parse(stateSince ?? '')).toBeGreaterThan(Date.now() - 15_000);
    expect(await running.ask('session.read', { session })).toMatchObject({ state: 'blocked', evidence });
    await running.ask('session.kill', { session });
    expect(await info(running, session)).toMatchObject({ state: 'exited', stateEvidence: null });
  });

  test('reaches whoever watches', async () => {
    const running = await start();
    const { session } = await running.run("read x; printf '\\033]7501;state=idle\\007'; exec cat");
    const watch = typedCall(running.peer, 'session.watch', {});
    const told = new Promise<void>((resolve) => {
      watch.onEvent(({ sessions }) => {
        if (sessions.some(({ id, state }) => id === session && state === 'idle')) resolve();
      });
    });
    await running.write(session, '\n');
    await told;
    watch.cancel();
  });

  test('of a shell follows its commands', async () => {
    const running = await start();
    const { session } = await running.ask('session.new', { argv: ['/bin/bash', '--norc', '--noprofile'] });
    await waitFor(running, session, 'idle');
    await running.write(session, 'sleep 1000\r');
    await waitFor(running, session, 'busy');
    await expect.poll(async () => (await info(running, session)).evidence, soon).toContain('sleep');
    await running.write(session, '\x03');
    await waitFor(running, session, 'idle');
    // A silent built-in command is no prompt.
    await running.write(session, 'while :; do :; done\r');
    await waitFor(running, session, 'busy');
    await running.write(session, '\x03');
    await waitFor(running, session, 'idle');
  });

  test('of a shell whose command asks is blocked', async () => {
    const running = await start();
    const { session } = await running.ask('session.new', { argv: ['/bin/bash', '--norc', '--noprofile'] });
    await waitFor(running, session, 'idle');
    await running.write(session, `sh -c 'printf "Go on? [y/N] "; read x'\r`);
    expect((await waitFor(running, session, 'blocked')).evidence).toContain('shell.ask-yes-no');
    await running.write(session, 'y\r');
    await waitFor(running, session, 'idle');
  });

  test('is unknown where a program without rules draws its own screen', async () => {
    const running = await start();
    const { session } = await running.run("printf '\\033[?1049h hello'; exec cat");
    await running.ask('session.wait', { session, until: { type: 'match', pattern: 'hello' } });
    await waitFor(running, session, 'unknown');
    expect(await info(running, session)).toMatchObject({ state: 'unknown', evidence: 'no evidence' });
  });
});

test('a program that asks whether its status is read gets one answer, as input that nobody typed [STATE-2]', async () => {
  const running = await start();
  const { session } = await running.run(
    "stty raw -echo; printf '\\033]7501;?\\007'; head -c 10 | od -An -c; printf asked; cat | od -An -c",
  );
  const { ask } = running;
  await ask('session.wait', { session, until: { type: 'match', pattern: 'asked', since: 0 } });
  const { lines } = await ask('session.read', { session });
  expect(lines.join(' ').replace(/\s+/g, ' ')).toContain('033 ] 7 5 0 1 ; ? 033 \\');
  // A viewer's own terminal answers as well: that answer goes no further.
  const viewer = typedCall(running.peer, 'session.attach', { session, client: 'c', cols: 80, rows: 24 });
  viewer.onEvent(() => undefined);
  viewer.sink(0).write(Buffer.from('\x1b]7501;?\x1b\\'));
  viewer.sink(0).write(Buffer.from('0123456789abcdef'));
  await ask('session.wait', { session, until: { type: 'match', pattern: '9 +a +b +c', since: 0 } });
  const after = (await ask('session.read', { session })).lines.join(' ').replace(/\s+/g, ' ');
  expect(after.match(/7 5 0 1/g)).toHaveLength(1);
  viewer.cancel();
});

describe('a report from inside', () => {
  test('counts with the token of the session that it is about, and with no other [STATE-1]', async () => {
    const running = await start();
    const { ask, run } = running;
    const tokenOf = async (session: string) => {
      const until = { type: 'match', pattern: 'token=\\S+', since: 0 } as const;
      return (await ask('session.wait', { session, until })).match?.slice('token='.length) ?? '';
    };
    const first = (await run('echo "token=$NIIA_SESSION_TOKEN"; exec cat')).session;
    const second = (await run('echo "token=$NIIA_SESSION_TOKEN"; exec cat')).session;
    const token = await tokenOf(first);
    expect(token).toMatch(/^[\w-]{24}$/);
    expect(await tokenOf(second)).not.toBe(token);
    const report = (session: string, shown: string, options = {}) =>
      ask('session.report', { session, token: shown, state: 'blocked', message: 'may\x1b I?' }, options);
    await expect(report(second, token)).rejects.toMatchObject({ code: 'denied' });
    await expect(report(first, '')).rejects.toMatchObject({ code: 'denied' });
    await expect(report(first, token, as('admin'))).rejects.toMatchObject({ code: 'denied' });
    expect(await report(first, token)).toMatchObject({ session: first, state: 'blocked' });
    expect((await info(running, first)).evidence).toBe('report: it was reported blocked from inside: "may I?"');
    expect((await info(running, second)).state).not.toBe('blocked');
    await ask('session.report', { session: first, token, state: 'unknown' });
    expect((await info(running, first)).state).toBe('unknown');
    await ask('session.kill', { session: first });
    await expect(report(first, token)).rejects.toMatchObject({ code: 'denied' });
  });
});

describe("a user's rules", () => {
  const rule = (id: string, pattern: string, more = {}) => ({
    ...{ id, source: 'screen', state: 'blocked', pattern, where: 'any', confidence: 0.7 },
    ...more,
  });

  test('are read from the home, also while sessions live; a file that is wrong is told and leaves the others', async () => {
    const home = temporaryHome();
    const folder = home.path('rules');
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}/mine.json`, JSON.stringify({ name: 'mine', rules: [rule('mine.ask', '^shall I')] }));
    writeFileSync(`${folder}/broken.json`, '{ "name": ');
    writeFileSync(`${folder}/typo.json`, JSON.stringify({ name: 'typo', rules: [rule('typo.ask', '(')] }));
    writeFileSync(
      `${folder}/where.json`,
      JSON.stringify({ name: 'where', rules: [rule('where.ask', 'x', { where: 'up' })] }),
    );
    const running = await start({ home });
    const { session } = await running.run('echo shall I; exec cat', { worker: 'mine' });
    await waitFor(running, session, 'blocked');
    const told = await running.ask('session.explain', { session });
    expect(told).toMatchObject({ state: 'blocked', rulesOf: 'mine', stateEvidence: { rule: 'mine.ask' } });
    expect(told.rules).toEqual([expect.objectContaining({ id: 'mine.ask', fired: true, file: `${folder}/mine.json` })]);
    const warnings = told.warnings.join('\n');
    expect(warnings).toContain('broken.json is left out: it is not JSON');
    expect(warnings).toMatch(/typo\.json is left out: rule typo\.ask: .*Invalid regular expression/);
    expect(warnings).toContain('where.json is left out: rules.0.where: where is title');
    rmSync(`${folder}/mine.json`);
    await running.ask('session.explain', { session });
    await waitFor(running, session, 'unknown');
  });

  test('that would search for ever are switched off, and the others go on', async () => {
    const home = temporaryHome();
    mkdirSync(home.path('rules'), { recursive: true });
    const rules = [rule('slow.ask', '^(a+)+$', { priority: 90 }), rule('slow.other', 'a!')];
    writeFileSync(home.path('rules', 'slow.json'), JSON.stringify({ name: 'slow', rules }));
    const running = await start({ home });
    const { session } = await running.run(`echo ${'a'.repeat(70)}!; exec cat`, { worker: 'slow', cols: 100 });
    expect((await waitFor(running, session, 'blocked')).evidence).toContain('slow.other');
    const slow = async () => {
      const { rules: told } = await running.ask('session.explain', { session });
      return told.find(({ id }) => id === 'slow.ask');
    };
    await expect.poll(async () => (await slow())?.why, soon).toContain('switched off');
    expect(await slow()).toMatchObject({ fired: false });
  });

  test('replace one of those that niia brings', async () => {
    const home = temporaryHome();
    mkdirSync(home.path('rules'), { recursive: true });
    const own = rule('codex.title-busy', '^working', { source: 'title', where: 'title', state: 'busy' });
    writeFileSync(home.path('rules', 'codex.json'), JSON.stringify({ name: 'codex', rules: [own] }));
    const running = await start({ home });
    const { session } = await running.run("printf '\\033]0;working on it\\007'; exec cat", { worker: 'codex' });
    expect((await waitFor(running, session, 'busy')).evidence).toBe('codex.title-busy: "working on it"');
    const { rules } = await running.ask('session.explain', { session });
    expect(rules.map(({ id }) => id)).toContain('codex.title-blocked');
  });
});

test('a title of a megabyte breaks no list', async () => {
  const running = await start();
  const { session } = await running.run(
    `printf '\\033]0;'; head -c 1000000 /dev/zero | tr '\\0' x; printf '\\007done'; exec cat`,
  );
  await running.ask('session.wait', { session, until: { type: 'match', pattern: 'done' } });
  await expect.poll(async () => (await info(running, session)).title.length, soon).toBeGreaterThan(0);
  expect((await info(running, session)).title.length).toBeLessThanOrEqual(1024);
});

test('of a session that has ended only its end is explained', async () => {
  const running = await start();
  const { session } = await running.run('exit 3');
  await running.ask('session.wait', { session, until: { type: 'exit' } });
  expect(await running.ask('session.explain', { session })).toMatchObject({
    ...{ state: 'exited', evidence: 'its process ended with exit code 3', setting: 'ended', rules: [] },
  });
});
