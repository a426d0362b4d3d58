import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Question } from '../../shared/protocol/worker-methods.ts';
import type { CliName } from './cli-home.ts';
import { digest, lines, markdown, paragraph, WorkerStage } from './worker-stage.ts';

interface AnswerShape {
  answer: string;
  source: string;
  promptId: string;
}

/**
 * What holds for every AI CLI that niia has a driver for, seen with the real one. One is started and shared. That it can
 * be driven at all is seen in the short tier; what it draws is known there by recordings (test/fixtures/ai-cli).
 */
export function workerPromises(worker: CliName): void {
  describe(`${worker} as a worker`, () => {
    // Seconds on a machine of its own; a CLI on an overloaded one takes its time.
    vi.setConfig({ testTimeout: 180_000 });
    let stage: WorkerStage;

    beforeAll(async () => {
      stage = await WorkerStage.open(worker);
      await stage.start('w');
    }, 240_000);

    afterAll(async () => {
      expect(await stage.close()).toEqual([]);
    });

    const answer = async (question: string, ...more: string[]): Promise<AnswerShape> => {
      const { code, stdout, stderr } = await stage.run('get-answer', '--session', 'w', question, '--json', ...more);
      expect([code, stderr.replaceAll(/^niia: (the prompt waits|taken from the visible rows only).*\n/gm, '')]).toEqual(
        [0, ''],
      );
      return JSON.parse(stdout.toString()) as AnswerShape;
    };

    const questions = async (): Promise<Question[]> =>
      (await stage.machine.json<{ questions: Question[] }>('approvals')).questions;

    it('brings back what the model sent, to the character', async () => {
      expect(await answer('markdown please')).toMatchObject({ answer: markdown, source: 'transcript' });
      expect(stage.arrived('markdown please')).toBe(1);
    });

    it('brings back 2,000 lines though they scrolled by', { tags: 'full' }, async () => {
      expect((await answer('lines 2000')).answer).toBe(lines(2000));
    });

    it('finds an answer in what was drawn where the transcript is not to be read', { tags: 'full' }, async () => {
      const { answer: text, source } = await answer('lines 12', '--no-transcript');
      expect(['output', 'screen']).toContain(source);
      expect(text.split('\n').map((line) => line.trim())).toEqual(lines(12).split('\n'));
      expect((await answer('wrapped please', '--no-transcript')).answer).toBe(paragraph);
    });

    it('types several lines as one prompt, and takes out what would steer the program', { tags: 'full' }, async () => {
      const { code, stderr } = await stage.run(
        'prompt',
        '--session',
        'w',
        'first\x1b[31m\n  second\n\nlast\n',
        '--wait',
      );
      expect(stderr).toContain('1 control character was taken out');
      expect(code).toBe(0);
      expect(stage.arrived('first[31m second last')).toBe(1);
    });

    it('queues behind a turn, is refused with --no-queue, and types nothing for an id that it knows', {
      tags: 'full',
    }, async () => {
      const ask = (...args: string[]) => stage.run('prompt', '--session', 'w', ...args);
      expect((await ask('slow one', '--id', 'same')).code).toBe(0);
      expect((await ask('not now', '--no-queue')).code).toBe(9);
      const [queued, ...repeats] = await Promise.all([
        ask('after it', '--wait'),
        ask('slow one', '--id', 'same', '--wait'),
        ask('slow one', '--id', 'same', '--wait'),
      ]);
      expect([queued, ...repeats].map(({ code }) => code)).toEqual([0, 0, 0]);
      expect((await ask('another text', '--id', 'same')).code).toBe(2);
      expect(['slow one', 'after it', 'not now', 'another text'].map((one) => stage.arrived(one))).toEqual([
        1, 1, 0, 0,
      ]);
    });

    it('pastes 20 kB, once and whole', { tags: 'full' }, async () => {
      const text = `big ${'0123456789 '.repeat(1860)}end`;
      expect((await answer(text)).answer).toBe(`Read ${digest(text)}.`);
    });

    it('shows a question, and answers exactly that one, once: allowed', { tags: 'full' }, async () => {
      const asked = await stage.run('get-answer', '--session', 'w', 'run: touch allowed.txt', '--id', 'allow-it');
      expect([asked.code, asked.stderr]).toEqual([6, expect.stringContaining('touch allowed.txt')]);
      expect((await stage.run('prompt', '--session', 'w', 'meanwhile')).code).toBe(6);
      const [question] = await questions();
      expect(question).toMatchObject({ sessionName: 'w', worker, command: 'touch allowed.txt' });
      expect(existsSync(join(stage.repo, 'allowed.txt'))).toBe(false);
      const id = question?.id ?? '';
      const codes = await Promise.all([stage.run('approve', id, 'allow'), stage.run('approve', id, 'allow')]);
      expect(codes.map(({ code }) => code).sort()).toEqual([0, 8]);
      const answered = await stage.run('get-answer', '--session', 'w', '--id', 'allow-it');
      expect(answered.stdout.toString()).toContain('The command said:');
      expect(existsSync(join(stage.repo, 'allowed.txt'))).toBe(true);
      expect((await stage.run('approve', id, '1')).code).toBe(8);
      expect([stage.arrived('run: touch allowed.txt'), stage.arrived('meanwhile')]).toEqual([1, 0]);
    });

    it('answers a question: denied', { tags: 'full' }, async () => {
      expect((await stage.run('get-answer', '--session', 'w', 'run: touch denied.txt')).code).toBe(6);
      const [question] = await questions();
      expect((await stage.run('approve', question?.id ?? '', 'deny')).code).toBe(0);
      await stage.ready('w');
      expect(existsSync(join(stage.repo, 'denied.txt'))).toBe(false);
      expect(await questions()).toEqual([]);
    });

    it('interrupts a turn, and takes the next prompt', { tags: 'full' }, async () => {
      expect((await stage.run('prompt', '--session', 'w', 'endless')).code).toBe(0);
      expect((await stage.run('interrupt', 'w')).code).toBe(0);
      await stage.ready('w');
      await emptied(stage);
      expect((await answer('hello again')).answer).toBe('You said: hello again');
    });

    it('submits each prompt once while the processors are busy', { tags: 'full' }, async () => {
      const load = Array.from({ length: 4 }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
      try {
        for (let n = 1; n <= 4; n++) {
          expect((await stage.run('prompt', '--session', 'w', `loaded ${n}`, '--wait')).code).toBe(0);
        }
      } finally {
        for (const one of load as ChildProcess[]) one.kill('SIGKILL');
      }
      expect([1, 2, 3, 4].map((n) => stage.arrived(`loaded ${n}`))).toEqual([1, 1, 1, 1]);
    });

    if (worker === 'codex') {
      it.each(['500', '429'])(
        'ends a turn that the model refused with %s, and takes the next prompt',
        { tags: 'full' },
        async (status) => {
          const { code, stderr } = await stage.run('get-answer', '--session', 'w', `error ${status}`);
          expect([code, stderr]).toEqual([1, expect.stringMatching(/no answer to it was found/)]);
          expect((await answer(`after ${status}`)).answer).toBe(`You said: after ${status}`);
        },
      );
    }

    it('offers its model the tools of niia mcp, where it was started so, or its user has told it', {
      tags: 'full',
    }, async () => {
      if (worker === 'gemini') {
        const refused = await stage.run('new', '--worker', worker, '--cwd', stage.repo, '--mcp');
        expect([refused.code, refused.stderr]).toEqual([
          2,
          expect.stringContaining('gemini mcp add --scope user niia'),
        ]);
        await stage.cli('mcp', 'add', '--scope', 'user', 'niia', process.execPath, stage.machine.entry, 'mcp');
        await stage.start('m');
      } else await stage.start('m', '--mcp');
      // Not every program waits for its servers before its first turn.
      const offered = async (): Promise<string | undefined> => {
        expect((await stage.run('get-answer', '--session', 'm', 'with tools')).code).toBe(0);
        return stage.model.turns.findLast(({ prompt }) => prompt.includes('with tools'))?.tools.join(' ');
      };
      await expect.poll(offered, { timeout: 60_000, interval: 1_000 }).toMatch(/niia.*list_machines/);
      await stage.machine.ok('kill', '--session', 'm');
    });

    it('tells that the worker was killed during a turn', { tags: 'full' }, async () => {
      expect((await stage.run('prompt', '--session', 'w', 'endless again', '--id', 'last')).code).toBe(0);
      const waiting = stage.run('get-answer', '--session', 'w', '--id', 'last');
      const { sessions } = await stage.machine.json<{ sessions: Array<{ pid: number; name: string }> }>('list');
      process.kill(sessions.find(({ name }) => name === 'w')?.pid ?? 0, 'SIGKILL');
      const { code, stderr } = await waiting;
      expect([code, stderr]).toEqual([1, expect.stringMatching(/session ended/)]);
    });
  });
}

/** A CLI may put an interrupted prompt back into its box; a person would clear it. */
async function emptied(stage: WorkerStage): Promise<void> {
  if (stage.worker === 'codex') return;
  await stage.machine.ok('write', '--session', 'w', '\x15');
}
