import { resolve } from 'node:path';
import { NiiaError } from '../../../shared/errors.ts';
import type { SessionInfo } from '../../../shared/protocol/shapes.ts';
import type { Run } from '../context.ts';
import type { Cell, Colour } from '../format.ts';
import { ago, table } from '../format.ts';
import type { Specs } from '../specs/all.ts';
import { pairs, wholeNumber } from '../values.ts';
import { namedSession } from '../which-session.ts';

export const create: Run<Specs['new']> = async ({ options, rest }, { daemon, out }) => {
  const { name, cols, rows } = options;
  const here = await daemon.isHere();
  const result = await daemon.change('session.new', {
    name,
    cwd: here ? resolve(options.cwd ?? '.') : options.cwd,
    worker: options.worker,
    mcp: options.mcp || undefined,
    env: pairs(options.env, '--env'),
    cols: cols === undefined ? undefined : wholeNumber(cols, '--cols', 1),
    rows: rows === undefined ? undefined : wholeNumber(rows, '--rows', 1),
    restore: options.restore || undefined,
    [options.worker === undefined ? 'argv' : 'args']: rest === undefined ? undefined : [...rest],
  });
  if (options.restore && !result.restore) {
    await out.advice(`niia: the niia of ${result.machine} is too old to start sessions again; upgrade it`);
  }
  await out.result(result, () => `${result.session}\n`);
};

export const list: Run<Specs['list']> = async (_, { daemon, out }) => {
  const result = await daemon.query('session.list', {});
  await out.result(result, () =>
    table(['SESSION', 'NAME', 'STATE', 'SIZE', 'STARTED', 'COMMAND', 'FOLDER'], result.sessions.map(row)),
  );
};

function row(session: SessionInfo): Cell[] {
  return [
    session.id,
    session.name,
    { text: stateText(session), colour: stateColours[session.state] },
    `${session.cols}x${session.rows}`,
    ago(session.createdAt),
    session.command,
    session.cwd,
  ];
}

const stateColours: Record<SessionInfo['state'], Colour> = {
  starting: 'yellow',
  idle: 'green',
  busy: 'yellow',
  blocked: 'red',
  exited: 'dim',
  unknown: 'dim',
};

function stateText({ state, exitCode, signal, restoredFrom, restoredAs, notRestored }: SessionInfo): string {
  const text = state === 'exited' ? `exited ${signal ?? exitCode ?? ''}`.trimEnd() : state;
  if (restoredAs) return `${text}, restored as ${restoredAs}`;
  if (notRestored) return `${text}, not restored: ${notRestored}`;
  return restoredFrom ? `${text}, restored from ${restoredFrom}` : text;
}

export const kill: Run<Specs['kill']> = async ({ args: [given], options }, { daemon, out }) => {
  const session = namedSession(daemon, options.session, given);
  const { signal } = options;
  if (signal !== undefined && !/^SIG[A-Z0-9]+$/.test(signal)) {
    throw new NiiaError('usage', `--signal: "${signal}" is not a signal`, 'Signals look like SIGINT or SIGTERM.');
  }
  const result = await daemon.change('session.kill', { session, signal });
  await out.result(result, () => `${result.session}: ${result.state}\n`);
};

export const rename: Run<Specs['rename']> = async ({ args: [name], options }, { daemon, out }) => {
  const session = namedSession(daemon, options.session);
  const result = await daemon.change('session.rename', { session, name });
  await out.result(result, () => `${result.session}: ${result.name}\n`);
};
