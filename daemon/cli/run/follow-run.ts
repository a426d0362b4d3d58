import { NiiaError } from '../../../shared/errors.ts';
import type { RunStatus } from '../../../shared/protocol/run-methods.ts';
import { onStatus } from '../../../shared/runs/status-parts.ts';
import type { Context } from '../context.ts';
import { mayColour, writeBytes } from '../output.ts';
import { away, broke, Pauses } from '../retry.ts';
import { findRun } from './find-run.ts';
import { statusText } from './run-table.ts';

/** What a command that follows a run does with each status. */
export type Told = (status: RunStatus) => Promise<void>;

const over: ReadonlyArray<RunStatus['state']> = ['paused', 'succeeded', 'failed', 'cancelled'];

/**
 * Tells a run's status now and after each change, until it is over or waits for a person; resolves with the last. A
 * connection that breaks is taken up again, and a coordinator that goes away is looked for among its standbys.
 */
export async function followRun(
  { daemon, deadline }: Context,
  run: string,
  at: string | undefined,
  told: Told,
): Promise<RunStatus> {
  const pauses = new Pauses();
  let machine = at;
  for (;;) {
    try {
      return await followOnce(daemon, run, machine, told, () => pauses.reset());
    } catch (error) {
      if (!(error instanceof NiiaError) || !(broke(error) || away(error) || error.code === 'no_such_run')) throw error;
      if (deadline.leftMs === 0) throw deadline.expired();
    }
    await pauses.wait();
    try {
      machine = (await findRun(daemon, run)).at;
    } catch (error) {
      // Its machine may come back, or a standby take over.
      if (!(error instanceof NiiaError) || !(broke(error) || away(error) || error.code === 'no_such_run')) throw error;
    }
  }
}

async function followOnce(
  daemon: Context['daemon'],
  run: string,
  to: string | undefined,
  told: Told,
  began: () => void,
): Promise<RunStatus> {
  const call = await daemon.call('run.watch', { run }, { to });
  let last: RunStatus | undefined;
  let telling = Promise.resolve();
  let failure: unknown;
  onStatus(call, (status) => {
    began();
    last = status;
    telling = telling
      .then(() => told(status))
      .catch((error: unknown) => {
        failure ??= error;
        call.cancel();
      });
    if (over.includes(status.state)) call.cancel();
  });
  try {
    await call.result;
    await telling;
    if (failure !== undefined) throw failure;
    if (last) return last;
    throw new NiiaError('internal', `the run ${run} ended without a word`);
  } catch (error) {
    await telling;
    if (failure !== undefined) throw failure;
    if (last && over.includes(last.state)) return last;
    throw error;
  }
}

/** Draws each status over the one before where stdout or stderr, to which it goes, is a terminal. */
export class LiveTable {
  readonly #to: 1 | 2;
  #rows = 0;

  constructor(to: 1 | 2) {
    this.#to = to;
  }

  async draw(status: RunStatus): Promise<void> {
    const width = (this.#to === 1 ? process.stdout.columns : process.stderr.columns) || 80;
    const text = statusText(status);
    const back = this.#rows > 0 ? `\x1b[${this.#rows}A\x1b[J` : '';
    // A line that wraps is drawn over wrongly: rows are counted as the terminal breaks them.
    this.#rows = text
      .trimEnd()
      .split('\n')
      .reduce((rows, line) => rows + Math.max(1, Math.ceil(visible(line) / width)), 0);
    await writeBytes(this.#to, Buffer.from(back + text));
  }

  /** Whether it can draw over what it drew. */
  get isLive(): boolean {
    return mayColour(this.#to);
  }
}

/** Tells in one line each what became of workers since the status before: for a stderr or a log that is no terminal. */
export class ChangeLog {
  readonly #states = new Map<string, string>();
  readonly #write: (line: string) => Promise<void>;

  constructor(write: (line: string) => Promise<void>) {
    this.#write = write;
  }

  async tell({ workers }: RunStatus): Promise<void> {
    for (const { name, state, machine, model, attempt, error } of workers) {
      const where = machine === null ? '' : ` on ${machine}`;
      const again = attempt > 1 ? `, attempt ${attempt}` : '';
      const line = `${name}: ${state}${where}${model === null ? '' : ` (${model}${again})`}${error === null ? '' : `: ${error}`}`;
      if (this.#states.get(name) === line || (state === 'waiting' && error === null && !this.#states.has(name)))
        continue;
      this.#states.set(name, line);
      await this.#write(line);
    }
  }
}

function visible(line: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours take no room
  return [...line.replace(/\x1b\[\d+m/g, '')].length;
}
