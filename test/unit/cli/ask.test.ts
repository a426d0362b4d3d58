import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { ResumingAsk } from '../../../daemon/cli/ask/resuming-ask.ts';
import { DaemonClient } from '../../../daemon/cli/daemon-client.ts';
import { Deadline } from '../../../daemon/cli/deadline.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import { cliWithAnswers, outcome } from './harness.ts';

// Each step is a process, and the machine may be busy with other tests.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const { cli, serve } = cliWithAnswers();

describe('ask', () => {
  const result = { machine: 'M', exitCode: 0, signal: null, durationMs: 1 };

  test('keeps both outputs apart, adds nothing, and exits as the command did', async () => {
    await serve({
      'machine.ask': async ({ params, sink }) => {
        await sink(streams.output).writeAll(Buffer.from([0, 255, 10]));
        await sink(streams.errors).writeAll(Buffer.from('problem\n'));
        return params.command === 'die'
          ? { ...result, exitCode: null, signal: 'SIGKILL' }
          : { ...result, exitCode: 42 };
      },
    });
    const asked = await cli.run(['remote', 'ask', 'M', 'run']);
    expect(asked).toMatchObject({ code: 42, err: 'problem\n' });
    expect([...asked.stdout]).toEqual([0, 255, 10]);
    expect((await cli.run(['remote', 'ask', 'M', 'die'])).code).toBe(137);
    const json = await cli.run(['ask', '--machine', 'M', '--json', '--', 'run']);
    expect(json.code).toBe(42);
    expect(JSON.parse(json.out)).toEqual({ ...result, exitCode: 42, stdout: '\u0000\ufffd\n', stderr: 'problem\n' });
  });

  test('words after -- are joined as ssh joins them', async () => {
    const commands: string[] = [];
    await serve({
      'machine.ask': ({ params }) => {
        commands.push(params.command);
        return result;
      },
    });
    await cli.run(['remote', 'ask', 'M', '--', 'git', 'log', '--oneline']);
    expect(commands).toEqual(['git log --oneline']);
    expect((await cli.run(['remote', 'ask', 'M', 'git', 'log'])).code).toBe(2);
    expect((await cli.run(['remote', 'ask', 'M', 'git', '--', 'log'])).code).toBe(2);
    expect((await cli.run(['remote', 'ask', 'M'])).code).toBe(2);
  });

  test('any failure of its own is 255, and --json says which', async () => {
    const server = await serve({
      'machine.ask': ({ params }) => {
        if (params.command === 'break') server.breakConnections();
        throw new NiiaError('offline', 'M is offline');
      },
    });
    const offline = await cli.run(['remote', 'ask', 'M', 'x', '--json']);
    expect([offline.code, JSON.parse(offline.err).error.code]).toEqual([255, 'offline']);
    const broken = await cli.run(['remote', 'ask', 'M', 'break', '--json', '--timeout', '1']);
    expect([broken.code, JSON.parse(broken.err).error.code]).toEqual([255, 'outcome_unknown']);
  });

  test('comes back saying what it has, and that the command was started [ASK-1]', async () => {
    const resumes: unknown[] = [];
    const server = await serve({
      'machine.ask': ({ params, emit }) => {
        resumes.push(params.resume);
        if (resumes.length === 2) emit({ type: 'started', pid: 1, resumable: true, inputOffset: 0 });
        if (resumes.length > 2) return result;
        // The first time nothing was heard of it yet.
        setTimeout(() => server.breakConnections(), 50);
        return new Promise(() => undefined);
      },
    });
    expect((await cli.run(['remote', 'ask', 'M', 'x'])).code).toBe(0);
    const none = { output: 0, errors: 0 };
    expect(resumes).toEqual([none, none, { ...none, started: true }]);
  });

  test('ends a command that it gives up on while it comes back [ASK-4]', async () => {
    const heard: unknown[] = [];
    let calls = 0;
    const server = await serve({
      'machine.ask': ({ emit, onEvent }) => {
        if (++calls === 1) emit({ type: 'started', pid: 1, resumable: true, inputOffset: 0 });
        else onEvent((event) => void heard.push(event));
        return new Promise(() => undefined);
      },
    });
    const deadline = new Deadline(undefined);
    const daemon = new DaemonClient(cli.home, 'M', deadline);
    const take = async (): Promise<void> => undefined;
    const asked = new ResumingAsk({ daemon, deadline, params: { command: 'x' }, output: take, errors: take });
    const call = daemon.call.bind(daemon);
    let again = 0;
    vi.spyOn(daemon, 'call').mockImplementation(async (...request) => {
      if (++again === 2) asked.giveUp(new NiiaError('cancelled', 'enough'));
      const made = await call(...request);
      if (again === 1) setTimeout(() => server.breakConnections(), 50);
      return made;
    });
    await expect(asked.run()).rejects.toMatchObject({ code: 'outcome_unknown' });
    await expect.poll(() => heard).toEqual([{ type: 'end' }]);
    daemon.close();
  });

  test('--timeout cancels the command', async () => {
    let cancelled: () => void = () => undefined;
    const cancellation = new Promise<void>((resolve) => {
      cancelled = resolve;
    });
    await serve({
      'machine.ask': ({ signal }) => {
        signal.addEventListener('abort', cancelled);
        return new Promise(() => undefined);
      },
    });
    const late = await cli.run(['remote', 'ask', 'M', 'x', '--timeout', '0.4', '--json']);
    expect([late.code, JSON.parse(late.err).error.code]).toEqual([255, 'timeout']);
    await cancellation;
  });

  test('carries its input, all of it', async () => {
    const input = Buffer.alloc(1_000_000, 'some input ');
    await serve({
      'machine.ask': async ({ source, sink }) => {
        for await (const bytes of source(streams.input)) await sink(streams.output).writeAll(bytes);
        return result;
      },
    });
    const echoed = await cli.run(['remote', 'ask', 'M', '--stdin', 'cat'], input);
    expect(echoed.code).toBe(0);
    expect(echoed.stdout.equals(input)).toBe(true);
  });

  test('holds at most 16 MiB with --json', async () => {
    await serve({
      'machine.ask': async ({ sink }) => {
        const part = Buffer.alloc(1 << 20);
        for (let i = 0; i < 20; i++) await sink(streams.output).writeAll(part);
        return result;
      },
    });
    const held = await cli.run(['remote', 'ask', 'M', '--json', 'x']);
    expect([held.code, held.out, JSON.parse(held.err).error.code]).toEqual([255, '', 'too_large']);
  });

  test('a reader that stops is waited for, and one that goes ends it quietly', async () => {
    let sent = 0;
    await serve({
      'machine.ask': async ({ sink }) => {
        const part = Buffer.alloc(64 << 10);
        for (; sent < 64 << 20; sent += part.length) await sink(streams.output).writeAll(part);
        return result;
      },
    });
    const child = cli.start(['remote', 'ask', 'M', 'flood']);
    const ended = once(child, 'close');
    const errors: Buffer[] = [];
    child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk));
    await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve(void child.stdout?.pause())));
    child.stdout?.destroy();
    expect(await ended).toEqual([141, null]);
    expect(Buffer.concat(errors).toString()).toBe('');
    expect(sent).toBeLessThan(8 << 20);
  });

  test('Ctrl-C goes to the command; a second one gives up on it', async () => {
    const signals: string[] = [];
    let started: () => void = () => undefined;
    let heard: () => void = () => undefined;
    await serve({
      'machine.ask': ({ params, onEvent }) =>
        new Promise((resolve) => {
          onEvent((event) => {
            if (event.type !== 'signal') return;
            const { signal } = event;
            signals.push(signal);
            heard();
            if (params.command === 'polite') resolve({ ...result, exitCode: null, signal });
          });
          started();
        }),
    });
    const running = () =>
      new Promise<void>((resolve) => {
        started = resolve;
      });
    const hearing = () =>
      new Promise<void>((resolve) => {
        heard = resolve;
      });

    let up = running();
    const polite = cli.start(['remote', 'ask', 'M', 'polite']);
    const politeEnd = outcome(polite);
    await up;
    polite.kill('SIGINT');
    expect(await politeEnd).toMatchObject({ code: 130, signal: null });

    up = running();
    const hears = hearing();
    const deaf = cli.start(['remote', 'ask', 'M', 'deaf']);
    const deafEnd = outcome(deaf);
    await up;
    deaf.kill('SIGINT');
    await hears;
    deaf.kill('SIGINT');
    expect(await deafEnd).toMatchObject({ code: 255 });
    // One that does not say that the command outlives its call is told to hang up as well.
    expect(signals).toEqual(['SIGINT', 'SIGINT', 'SIGHUP']);
  });
});
