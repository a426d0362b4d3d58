import type { AttemptSpec } from '../../../shared/protocol/attempt-methods.ts';
import type { ParamsOf } from '../../../shared/protocol/methods.ts';
import { executable, shellCommand, userShell } from '../../headless/command.ts';
import { explainMissing } from '../../headless/prompting/worker-start.ts';
import { driverNamed } from '../../workers/drivers/drivers.ts';
import { workerStart } from '../../workers/drivers/start.ts';
import { AttemptFailure } from './failure.ts';

/** What an attempt's processes find around them. */
export interface Surroundings {
  cwd: string;
  env: Record<string, string>;
  /** The command as it is run there: in a sandbox, where one was asked for. */
  wrap(argv: readonly string[]): string[];
}

type NewSession = Pick<ParamsOf<'session.new'>, 'name' | 'cwd' | 'env' | 'argv' | 'worker' | 'sizing'>;

/** The session of the worker itself. Throws `start_failed`, or `usage`, for what cannot be started here. */
export function workSession(spec: AttemptSpec, name: string, around: Surroundings): NewSession {
  const { model, environment } = spec;
  const words = [...permissionWords(model.driver, environment.permission), ...model.args];
  const start =
    model.command === null ? workerStart(model.driver, words) : { argv: [...model.command, ...words], env: {} };
  const argv = start?.argv ?? (words.length > 0 ? words : [userShell()]);
  const env = { ...around.env, ...start?.env, ...model.env, ...environment.env };
  requireProgram(argv, env, around.cwd, model.driver);
  return { name, worker: model.driver, argv: around.wrap(argv), env, cwd: around.cwd };
}

/** The session of its check. */
export function checkSession(spec: AttemptSpec, check: string, name: string, around: Surroundings): NewSession {
  const { file, args } = shellCommand(check);
  const env = { ...around.env, ...spec.model.env, ...spec.environment.env, TERM: 'dumb', NO_COLOR: '1' };
  return { name, argv: around.wrap([file, ...args]), env, cwd: around.cwd, sizing: 'fixed' };
}

/** Looked for out here: a sandbox would only end at once. */
function requireProgram(argv: readonly string[], env: Record<string, string>, cwd: string, driver: string): void {
  try {
    executable(argv[0] ?? '', { ...process.env, ...env }, cwd);
  } catch (error) {
    throw explainMissing(error, driver);
  }
}

function permissionWords(driver: string, mode: string | null): readonly string[] {
  if (mode === null) return [];
  const modes = driverNamed(driver)?.start.permissions ?? {};
  const words = Object.hasOwn(modes, mode) ? modes[mode] : undefined;
  if (words) return words;
  const known = Object.keys(modes);
  const hint = known.length > 0 ? `it has: ${known.join(', ')}` : 'it has none that can be chosen';
  throw new AttemptFailure('start_failed', `${driver} has no permission mode "${mode}"; ${hint}`);
}
