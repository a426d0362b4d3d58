import { NiiaError } from '../../../shared/errors.ts';
import { fromName, shown, toName } from '../../files/names.ts';
import { type Found, look } from '../../files/place.ts';
import type { Context, Run } from '../context.ts';
import { CopyProgress } from '../copy/copy-progress.ts';
import { destination, direction, type Source } from '../copy/operands.ts';
import { resumingCopy } from '../copy/resuming-copy.ts';
import { exactBytes } from '../exact-bytes.ts';
import type { Specs } from '../specs/all.ts';

const endings = ['SIGINT', 'SIGTERM'] as const;

export const copy: Run<Specs['cp']> = async ({ rest, places }, context) => {
  const { daemon, home, out } = context;
  const { way, machine, sources, target } = direction((rest ?? []).map((word, at) => exactBytes(word, places[at])));
  daemon.machine = machine;
  const here = (path: Buffer): Promise<Found> => look(path, process.cwd());
  const there = async (path: Buffer): Promise<Found> => {
    const found = await daemon.query('copy.look', { path: toName(path) });
    return { path: fromName(found.path), kind: found.kind };
  };
  const [lookAtSource, lookAtTarget] = way === 'put' ? [here, there] : [there, here];
  const progress = new CopyProgress(out.json);
  const found: Source[] = [];
  for (const written of sources) {
    const source = { written, ...(await lookAtSource(written)) };
    if (source.kind === 'missing') progress.missed(shown(written), 'no such file or folder', false);
    else found.push(source);
  }
  try {
    if (found.length > 0) {
      const { into, names } = destination(found, { written: target, ...(await lookAtTarget(target)) });
      await refuseIntoItself(found, into, names, context);
      const options = { daemon, way, sources: found.map(({ path }) => path), into, names, progress };
      await untilSignal((signal) => resumingCopy({ ...options, locks: home.path('copies'), signal }));
    }
  } finally {
    await progress.end();
  }
  const { counts, errors, durationMs } = progress;
  context.exitCode = counts.failed > 0 ? 1 : 0;
  await out.result({ machine, ...counts, errors, durationMs }, () => '');
};

/** A signal that ends us does so once what is being written is whole or gone; a second one does at once. */
async function untilSignal(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const ended = new AbortController();
  let received: NodeJS.Signals | undefined;
  const end = (name: NodeJS.Signals): void => {
    received = name;
    forget();
    ended.abort(new NiiaError('cancelled', `the copy was ended by ${name}`));
  };
  const forget = (): void => {
    for (const name of endings) process.off(name, end);
  };
  for (const name of endings) process.on(name, end);
  try {
    await work(ended.signal);
  } catch (error) {
    // Whoever waits for us is to see what ended us.
    if (received) process.kill(process.pid, received);
    throw error;
  } finally {
    forget();
  }
}

/** A folder that is copied into itself on one machine would never end. */
async function refuseIntoItself(
  sources: readonly Source[],
  into: Buffer,
  names: readonly Buffer[],
  { daemon }: Context,
): Promise<void> {
  if (!sources.some(({ kind }) => kind === 'folder') || !(await daemon.isHere())) return;
  for (const [at, { path, kind }] of sources.entries()) {
    const goesTo = Buffer.concat([into, Buffer.from('/'), names[at] ?? Buffer.alloc(0), Buffer.from('/')]);
    if (kind === 'folder' && goesTo.subarray(0, path.length + 1).equals(Buffer.concat([path, Buffer.from('/')]))) {
      throw new NiiaError('usage', `${shown(path)} cannot be copied into itself`);
    }
  }
}
