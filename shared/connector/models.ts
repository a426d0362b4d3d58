import { didYouMean, nearest } from '../spelling.ts';
import { commandWords } from './command-words.ts';
import type { Model } from './definition.ts';
import type { FileModel } from './file-schema.ts';

/** The kinds of workers that a model may name as its driver. */
export const driverNames = ['claude', 'codex', 'gemini', 'shell', 'exec', 'generic'] as const;
type DriverName = (typeof driverNames)[number];

/** CLIs whose driver has a command of its own. */
const ownCommand = ['claude', 'codex', 'gemini', 'shell'] as const satisfies DriverName[];

/** Interactive CLIs that have no driver of their own: started as they are, by their names. */
const otherClis = ['aider', 'amp', 'copilot', 'crush', 'cursor-agent', 'goose', 'opencode', 'qwen'];

/** Names of models, and the CLI that has them. Those with a pattern go on behind it. */
const modelNames: ReadonlyArray<readonly [RegExp, DriverName]> = [
  [/^(opus|sonnet|haiku|opusplan|default)$/, 'claude'],
  [/^claude-./, 'claude'],
  [/^(gpt|codex)-./, 'codex'],
  [/^o[1-9](-.+)?$/, 'codex'],
  [/^gemini-./, 'gemini'],
];
const plainNames = [...ownCommand, ...otherClis, 'opus', 'sonnet', 'haiku'];

type Resolved = { model: Model } | { problem: string };

/** The CLI or model of that name, as one may write it without any `models`; undefined: none is known. */
export function knownModel(name: string): Model | undefined {
  const model = (driver: DriverName, command: string[] | null, args: string[]): Model => {
    return { alias: name, driver, command, args, env: {} };
  };
  if (isOneOf(ownCommand, name)) return model(name, null, []);
  if (otherClis.includes(name)) return model('generic', [name], []);
  const [, cli, rest] = /^([^/]+)\/(.+)$/.exec(name) ?? [];
  if (cli === 'ollama' && rest !== undefined) return model('generic', ['ollama', 'run', rest], []);
  if (rest !== undefined && (cli === 'claude' || cli === 'codex' || cli === 'gemini')) {
    return model(cli, null, ['--model', rest]);
  }
  const driver = modelNames.find(([pattern]) => pattern.test(name))?.[1];
  return driver && model(driver, null, ['--model', name]);
}

/** The models of a file by their names, and what is wrong with each. */
export class ModelTable {
  readonly #models: Readonly<Record<string, FileModel>>;

  constructor(models: Readonly<Record<string, FileModel>>) {
    this.#models = models;
  }

  /** Whether the file itself gives this name. */
  has(name: string): boolean {
    return Object.hasOwn(this.#models, name);
  }

  /** What a worker means that names it: one of the file's, else a CLI or model that is known. */
  resolve(name: string): Resolved {
    if (!this.has(name)) return this.#known(name);
    const found = this.#entry(name, new Set());
    return 'model' in found ? { model: { ...found.model, alias: name } } : found;
  }

  #entry(name: string, seen: Set<string>): Resolved {
    const entry = this.#models[name];
    if (entry === undefined) return this.#known(name);
    if (typeof entry !== 'string') return ownModel(name, entry);
    const known = knownModel(entry);
    if (known) return { model: known };
    if (seen.has(entry) || !this.has(entry)) return this.#known(entry);
    return this.#entry(entry, seen.add(entry));
  }

  #known(name: string): Resolved {
    const model = knownModel(name);
    if (model) return { model };
    if (name === 'exec' || name === 'generic') {
      return { problem: `"${name}" needs a command: "models": {"NAME": {"driver": "${name}", "command": "…"}}` };
    }
    const near = nearest(name, [...Object.keys(this.#models), ...plainNames]);
    const else_ = `give its command: "models": {"${name}": {"command": "…"}}`;
    return {
      problem: `"${name}" is none of models, and no CLI or model that is known; ${
        near === undefined ? else_ : `did you mean "${near}"? Else ${else_}`
      }`,
    };
  }
}

function ownModel(alias: string, entry: Exclude<FileModel, string>): Resolved {
  const env = Object.fromEntries(Object.entries(entry.env ?? {}).map(([key, value]) => [key, String(value)]));
  const args = [...(entry.args ?? [])];
  const { driver } = entry;
  if (driver !== undefined && !isOneOf(driverNames, driver)) {
    return { problem: `"${driver}" is no driver${didYouMean(driver, driverNames)}: ${driverNames.join(', ')}` };
  }
  if (entry.command === undefined) {
    if (isOneOf(ownCommand, driver ?? '')) return { model: { alias, driver: driver ?? '', command: null, args, env } };
    return { problem: driver === undefined ? 'needs a command or a driver' : `the driver ${driver} needs a command` };
  }
  let command: readonly string[] | undefined;
  try {
    command = typeof entry.command === 'string' ? commandWords(entry.command) : entry.command;
  } catch (error) {
    if (error instanceof SyntaxError) return { problem: `command: ${error.message}` };
    throw error;
  }
  if (command === undefined) {
    // A shell's work. What follows a command follows its last part then, as with git's aliases.
    const script = `${entry.command}${args.length === 0 ? '' : ' "$@"'}`;
    return { model: { alias, driver: driver ?? 'exec', command: ['sh', '-c', script, 'sh'], args, env } };
  }
  if (command.length === 0) return { problem: 'command is empty' };
  return { model: { alias, driver: driver ?? driverOf(command[0] ?? ''), command: [...command], args, env } };
}

/** The driver for a command whose file names none. */
function driverOf(program: string): DriverName {
  const name = program.replace(/^.*[\\/]/, '').replace(/\.(exe|cmd)$/i, '');
  if (name === 'claude' || name === 'codex' || name === 'gemini') return name;
  return otherClis.includes(name) ? 'generic' : 'exec';
}

function isOneOf<T extends string>(words: readonly T[], word: string): word is T {
  return (words as readonly string[]).includes(word);
}
