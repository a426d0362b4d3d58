import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { AttemptStore } from '../../../daemon/connector/attempts/store.ts';
import { ask } from '../../../shared/rpc/client.ts';
import { soon } from '../headless/support.ts';
import { Stage } from './stage.ts';

function lines(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

describe('an attempt', () => {
  test('has its prompt worked on, and delivers what came of it', async () => {
    const stage = await Stage.open();
    const spec = stage.spec(`cat > ${stage.path('prompt')}; pwd; echo "$NIIA_RUN $NIIA_WORKER"`);
    expect(await stage.begin(spec, 'Please.\n')).toMatchObject({ step: 'preparing', submitted: false, session: null });
    const { outcome, text } = await stage.delivered(spec);
    expect(outcome).toMatchObject({ is: 'succeeded', json: null, files: [], kept: { folder: null, branch: null } });
    expect(text).toBe(`${stage.folder}\nr1 w\n`);
    expect(lines(stage.path('prompt'))).toEqual(['Please.']);
    await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
    const shown = () => stage.sessions.map(({ state, name }) => [state, name.replace(/-\w+$/, '')]);
    await expect.poll(shown, soon).toEqual([['exited', 'test-w-1']]);
    expect(stage.coordinator.reports.at(-1)).toMatchObject({ submitted: true });
    // What is kept says that this epoch was there, and little else.
    expect(readdirSync(stage.home.path('attempts', 'r1'))).toEqual(['w.json']);
  });

  test('is taken on once, and never after a higher epoch of its worker [ATT-1]', async () => {
    const stage = await Stage.open();
    const script = `echo ran >> ${stage.path('runs')}`;
    const spec = stage.spec(script, { epoch: 2 });
    await Promise.all([1, 2, 3].map(() => stage.begin(spec)));
    await stage.delivered(spec);
    expect(await stage.begin(spec)).toMatchObject({ step: 'over', submitted: true });
    await expect(stage.begin({ ...spec, epoch: 1 })).rejects.toMatchObject({ code: 'fenced' });
    await stage.stopDaemon();
    await stage.startDaemon();
    await expect(stage.begin({ ...spec, epoch: 1 })).rejects.toMatchObject({ code: 'fenced' });
    expect(await stage.begin(spec)).toMatchObject({ step: 'over' });
    expect(lines(stage.path('runs'))).toEqual(['ran']);
    expect(stage.coordinator.delivered).toHaveLength(1);
  });

  test('ends an older one of its worker before it begins [ATT-1]', async () => {
    const stage = await Stage.open();
    const script = `echo $$ >> ${stage.path('runs')}; sleep 60`;
    await stage.begin(stage.spec(script));
    await expect.poll(() => lines(stage.path('runs')), soon).toHaveLength(1);
    const next = stage.spec(`kill -0 $(cat ${stage.path('runs')}) 2>/dev/null && echo alive || echo gone`, {
      epoch: 2,
    });
    expect((await stage.outcomeOf(next)).text).toBe('gone\n');
    expect(stage.coordinator.delivered.map(({ key }) => key.epoch)).toEqual([2]);
  });

  test('that is ended says so again, and one that never came cannot begin any more [ATT-5]', async () => {
    const stage = await Stage.open();
    const spec = stage.spec(`echo ran >> ${stage.path('runs')}; sleep 60`);
    await stage.begin(spec);
    await expect.poll(() => lines(stage.path('runs')), soon).toHaveLength(1);
    const key = { run: 'r1', worker: 'w', epoch: 1 };
    const kept = { folder: stage.folder, branch: null };
    expect(await stage.attempts.end(key, 'cancelled')).toEqual(kept);
    await expect.poll(() => stage.sessions.every(({ state }) => state === 'exited'), soon).toBe(true);
    expect(await stage.attempts.end(key, 'cancelled')).toEqual(kept);
    await stage.attempts.end({ ...key, epoch: 7 }, 'fenced');
    expect(await stage.begin({ ...spec, epoch: 7 })).toMatchObject({ step: 'over', submitted: false });
    expect(await stage.attempts.end(key, 'fenced')).toEqual(kept);
    expect(lines(stage.path('runs'))).toHaveLength(1);
  });

  test('waits while its worker asks a person, and goes on with the answer', async () => {
    const stage = await Stage.open();
    const model = { driver: 'shell', command: ['/bin/bash', '--norc', '--noprofile', '-i'], env: { PS1: '$ ' } };
    const spec = stage.spec('', { model });
    const asks = `printf "Go on? [y/N] "; read answer; echo "it is $answer" > ${stage.path('answer')}`;
    await stage.begin(spec, `sh -c '${asks}'`);
    await expect.poll(() => stage.coordinator.reports.at(-1)?.sessionState, soon).toBe('blocked');
    expect(stage.coordinator.reports.at(-1)).toMatchObject({ step: 'working', submitted: true });
    const { server } = await stage.servers.current();
    const { questions } = await ask(server.peer, 'session.approvals', {});
    const [{ session, id } = { session: '', id: '' }] = questions;
    await ask(server.peer, 'session.approve', { session, id, option: 'allow' });
    expect((await stage.delivered(spec)).outcome).toMatchObject({ is: 'succeeded' });
    expect(lines(stage.path('answer'))).toEqual(['it is y']);
  });

  test('is forgotten a month after its run was last heard of', async () => {
    const stage = await Stage.open();
    const spec = stage.spec('true');
    await stage.outcomeOf(spec);
    await expect.poll(() => stage.attempts.list(), soon).toEqual([]);
    const folder = stage.home.path('attempts', 'r1');
    const store = new AttemptStore(stage.home);
    const day = 24 * 3_600_000;
    store.clear(Date.now() + 29 * day, () => false);
    store.clear(Date.now() + 31 * day, () => true);
    expect(existsSync(folder)).toBe(true);
    store.clear(Date.now() + 31 * day, () => false);
    expect(existsSync(folder)).toBe(false);
  });

  test('tells which programs are missing', async () => {
    const stage = await Stage.open();
    expect(await stage.attempts.lacks(['sh', 'no-such-program-here'])).toEqual(['no-such-program-here']);
  });
});

describe('an attempt comes to nothing', () => {
  test.each([
    ['failed', 'echo oops >&2; exit 3', {}, /exit code 3: oops/],
    ['quota', "echo 'Error: 429 Too Many Requests' >&2; exit 1", {}, /429/],
    ['crash', 'kill -9 $PPID; sleep 60', {}, /ended/],
    ['timeout', 'sleep 60', { limits: { turnMs: 300 } }, /its turn: it took longer than 300 ms/],
    ['timeout', 'echo begun; sleep 60', { limits: { stallMs: 300 } }, /wrote nothing for 300 ms/],
    ['timeout', 'while :; do echo yes; done', { limits: { bytes: 10_000 } }, /more than 10000 bytes/],
    ['output_invalid', 'echo much too long', { output: { maxBytes: 5 } }, /more than 5 bytes/],
    ['output_invalid', 'echo no json', { output: { json: true as const } }, /no JSON/],
    ['check_failed', 'echo work', { check: 'echo not good; exit 1' }, /exit code 1\nnot good/],
    ['start_failed', '', { model: { command: ['/no/such/program'] } }, /no such file/],
    ['start_failed', '', { environment: { cwd: '/no/such/folder' } }, /is not there/],
    ['start_failed', '', { environment: { permission: 'plan' } }, /permission mode/],
  ] as const)('for the reason %s: %s', async (reason, script, changes, why) => {
    const stage = await Stage.open();
    const model = reason === 'crash' ? { driver: 'shell', command: ['/bin/sh'] } : {};
    const spec = stage.spec(script, { model, ...changes } as Parameters<Stage['spec']>[1]);
    const prompt = reason === 'crash' ? 'kill -9 $$\n' : undefined;
    const { outcome } = await stage.outcomeOf(spec, prompt);
    expect(outcome).toMatchObject({ is: 'failed', reason });
    expect(outcome.is === 'failed' && outcome.why).toMatch(why);
    expect(outcome).toMatchObject({ submitted: reason !== 'start_failed' });
    await expect.poll(() => stage.sessions.every(({ state }) => state === 'exited'), soon).toBe(true);
  });
});

describe('the output of an attempt', () => {
  test('is JSON that satisfies a schema, in a block of an answer or the whole of it', async () => {
    const stage = await Stage.open();
    const json = { type: 'object', required: ['n'], properties: { n: { type: 'number' } } };
    const answer = 'Here it is:\n```json\n{"n": 1}\n```\nDone.';
    const { outcome } = await stage.outcomeOf(stage.spec('cat', { output: { json } }), answer);
    expect(outcome).toMatchObject({ is: 'succeeded', json: { n: 1 } });
    const other = await stage.outcomeOf(stage.spec('cat', { epoch: 2, output: { json } }), '{"n": "one"}');
    expect(other.outcome).toMatchObject({
      reason: 'output_invalid',
      why: expect.stringContaining('/n must be number'),
    });
  });

  test('may be a file, and names files of the working folder and of nowhere else', async () => {
    const stage = await Stage.open();
    const script =
      'mkdir -p out/deep; echo text > out/a.txt; echo b > out/deep/b.txt; ln -s /etc/passwd out/away.txt; echo said';
    const output = { file: 'out/a.txt', files: ['out/a.txt', 'out/**/*.txt'] };
    const { outcome, text } = await stage.outcomeOf(stage.spec(script, { output }));
    expect([text, outcome]).toMatchObject(['text\n', { files: ['out/a.txt', 'out/deep/b.txt'] }]);
    for (const [epoch, files] of [
      [2, ['../*']],
      [3, ['/etc/passwd']],
      [4, ['out/away.txt']],
    ] as const) {
      const { outcome } = await stage.outcomeOf(stage.spec(script, { epoch, output: { files: [...files] } }));
      expect(outcome).toMatchObject({ reason: 'output_invalid' });
    }
  });

  test('is looked at when its check has passed, which sees what the worker wrote', async () => {
    const stage = await Stage.open();
    const check = `test "$(cat made)" = by-worker && test "$OWN" = yes && echo checked >> ${stage.path('checks')}`;
    const spec = stage.spec('echo by-worker > made', { check, environment: { env: { OWN: 'yes' } } });
    expect((await stage.outcomeOf(spec)).outcome).toMatchObject({ is: 'succeeded' });
    expect(lines(stage.path('checks'))).toEqual(['checked']);
  });
});
