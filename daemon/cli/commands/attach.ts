import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { NiiaError } from '../../../shared/errors.ts';
import { DetachKeys } from '../attach/detach-keys.ts';
import { ResumingViewer } from '../attach/resuming-viewer.ts';
import { Terminal } from '../attach/terminal.ts';
import type { Run } from '../context.ts';
import type { Specs } from '../specs/all.ts';
import { whichSession } from '../which-session.ts';

/** Why a viewer leaves a session that goes on. */
type Leave = { why: 'detach' } | { why: NodeJS.Signals };

/** A paste is read no faster than the session takes it. */
const mostInputWaiting = 256 << 10;

const endingSignals = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const;

export const attach: Run<Specs['attach']> = async ({ args: [given], options }, context) => {
  const { daemon, deadline, out } = context;
  if (!isatty(0) || !isatty(1)) {
    throw new NiiaError(
      'usage',
      'attach needs a terminal on its input and output',
      'In a script: niia read, niia write.',
    );
  }
  const session = whichSession(daemon, options.session, given);
  const cwd = session === undefined && (await daemon.isHere()) ? process.cwd() : undefined;
  const readOnly = options['read-only'];
  const leaving = new AbortController();
  const leave = (reason: Leave): void => leaving.abort(reason);
  const terminal = new Terminal(() => readKeys());
  const viewer = new ResumingViewer({
    daemon,
    deadline,
    screen: terminal,
    session,
    create: session === undefined && !readOnly,
    cwd,
    readOnly,
    size: terminal.size,
  });

  const keys = new DetachKeys();
  const onKeys = (bytes: Buffer): void => {
    const { send, detach } = keys.take(bytes);
    if (send.length > 0 && !readOnly && !viewer.type(send)) terminal.bell();
    if (viewer.connected && viewer.waitingInput > mostInputWaiting) process.stdin.pause();
    if (!detach) return;
    process.stdin.off('data', onKeys);
    void viewer.lastInput().then(() => leave({ why: 'detach' }));
  };
  viewer.onArrival(() => {
    if (viewer.waitingInput <= mostInputWaiting) process.stdin.resume();
  });
  const readKeys = (): void => {
    process.stdin.on('data', onKeys);
  };
  const resized = (): void => viewer.resize(terminal.size);
  const onSignal = (why: NodeJS.Signals): void => leave({ why });
  process.stdout.on('resize', resized);
  for (const signal of endingSignals) process.on(signal, onSignal);

  try {
    const { exitCode, signal } = await viewer.run(leaving.signal);
    terminal.restore();
    await out.advice(`[session ended, ${signal === null ? `exit code ${exitCode ?? 'unknown'}` : signal}]`);
  } catch (error) {
    const left: Leave | undefined = leaving.signal.reason;
    terminal.restore();
    if (left === undefined) throw error;
    if (left.why === 'detach') await out.advice(`[detached from ${terminal.label}]`);
    else context.exitCode = 128 + constants.signals[left.why];
  } finally {
    terminal.restore();
    process.stdin.off('data', onKeys).pause();
    process.stdout.off('resize', resized);
    for (const signal of endingSignals) process.off(signal, onSignal);
  }
};
