import { NiiaError } from '../../../shared/errors.ts';
import type { McpServer } from './driver.ts';
import { driverNamed, workerNames } from './drivers.ts';

export interface WorkerStart {
  argv: string[];
  env: Record<string, string>;
  /** How to get the program, where its absence is no typing mistake. */
  install: string | undefined;
}

/**
 * The command of a worker with the user's own words. Undefined where the words are the command as they stand: with none,
 * the user's shell. `mcp`: a server that the worker is to know. Throws `usage` where a command must be given, or where
 * the worker cannot be told of a server.
 */
export function workerStart(worker: string, words: readonly string[], mcp?: McpServer): WorkerStart | undefined {
  const driver = driverNamed(worker);
  const tell = driver?.start.mcp;
  if (mcp && typeof tell !== 'function') {
    throw new NiiaError('usage', `a worker of the kind ${worker} cannot be told of an MCP server`, tell?.byHand);
  }
  if (!driver && words.length === 0) {
    throw new NiiaError(
      'usage',
      `niia knows no worker of the kind ${worker}; it knows: ${workerNames.join(', ')}`,
      `One that only your own rules know needs its command: niia new --worker ${worker} -- COMMAND`,
    );
  }
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
  const { program, args, env, install } = driver.start;
  const given = (word: string): boolean => words.some((one) => one === word || one.startsWith(`${word}=`));
  const own = args.flatMap(({ words: ours, unless }) => (unless.some(given) ? [] : ours));
  const told = mcp && typeof tell === 'function' ? tell(mcp) : [];
  return {
    argv: [program, ...own, ...told, ...words],
    env: { ...env },
    install,
  };
}
