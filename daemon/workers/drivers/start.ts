import { NiiaError } from '../../../shared/errors.ts';
import type { StartRule } from './driver.ts';
import { driverNamed } from './drivers.ts';

export interface WorkerStart {
  argv: string[];
  env: Record<string, string>;
  settings: StartRule['settings'];
  /** How to get the program, where its absence is no typing mistake. */
  install: string | undefined;
}

/**
 * The command of a worker with the user's own words. Undefined where the words are the command as they stand: with none,
 * the user's shell. Throws `usage` where a command must be given.
 */
export function workerStart(worker: string, words: readonly string[]): WorkerStart | undefined {
  const driver = driverNamed(worker);
  if (driver?.start.program === undefined) {
    if (words.length === 0 && worker !== 'shell') {
      throw new NiiaError(
        'usage',
        `a worker of the kind ${worker} needs a command`,
        `As in: niia new --worker ${worker} -- COMMAND`,
      );
    }
    return undefined;
  }
  const { program, args, env, settings, install } = driver.start;
  const given = (word: string): boolean => words.some((one) => one === word || one.startsWith(`${word}=`));
  const own = args.flatMap(({ words: ours, unless }) => (unless.some(given) ? [] : ours));
  return { argv: [program, ...own, ...words], env: { ...env }, settings, install };
}
