import { NiiaError } from '../../shared/errors.ts';
import { didYouMean } from '../../shared/spelling.ts';
import type { CommandSpec, OptionSpec } from './spec.ts';
import { commonOptions, machineOption } from './spec.ts';
import type { CommandName } from './specs/all.ts';
import { commandNames, isCommand, specs } from './specs/all.ts';
import { seconds } from './values.ts';

/** A command line before its types are tied to its command. */
export interface RawInvocation {
  args: Array<string | undefined>;
  places: number[];
  options: Record<string, boolean | string | string[] | undefined>;
  rest: string[] | undefined;
  machine: string | undefined;
  json: boolean;
  timeoutMs: number | undefined;
}

/** What help is wanted about: everything, the commands that start with a word, or one command. */
export type Topic = { family: string | undefined } | { command: CommandName; remote: boolean };

export type Parsed =
  | { do: 'run'; command: CommandName; invocation: RawInvocation }
  | { do: 'help'; topic: Topic }
  | { do: 'version'; json: boolean };

/** First words that need a second: `team`, `config`, `remote`. */
const families = new Set(commandNames.filter((name) => name.includes(' ')).map((name) => name.split(' ')[0] ?? name));

/** What a command line asks for. Throws `usage`. */
export function parse(argv: readonly string[]): Parsed {
  const words = commandWords(argv);
  const first = words[0];
  if (first === undefined) return withoutCommand(argv);
  if (first.text === 'help') return help(words.slice(1).map((word) => word.text));
  if (words.length === 1 && families.has(first.text) && asksForHelp(argv)) return help([first.text]);
  const { command, remote, used } = findCommand(words.map((word) => word.text));
  const taken = new Set(words.slice(0, used).map((word) => word.at));
  const left = argv.map((text, at) => ({ text, at })).filter(({ at }) => !taken.has(at));
  return parseFor(command, remote, left);
}

/** Whether errors shall be printed as JSON, known even where the line cannot be parsed. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}

interface Word {
  text: string;
  /** Where in the command line. */
  at: number;
}

/** The words that are neither options nor their values, up to `--`. Common options may stand before the command. */
function commandWords(argv: readonly string[]): Word[] {
  const words = [];
  for (let at = 0; at < argv.length; at++) {
    const text = argv[at] ?? '';
    if (text === '--') break;
    if (!text.startsWith('-') || text === '-') words.push({ text, at });
    else if (valueOptions.has(text)) at++;
  }
  return words;
}

/** A name means the same for every command, so what it takes is known before the command is. */
const valueOptions = new Set(
  [commonOptions, machineOption, ...commandNames.map((name): CommandSpec['options'] => specs[name].options)].flatMap(
    (options) =>
      Object.entries<OptionSpec>(options)
        .filter(([, option]) => option.kind !== 'flag')
        .map(([name]) => `--${name}`),
  ),
);

function optionNamed(name: string, options: CommandSpec['options']): OptionSpec | undefined {
  return Object.hasOwn(options, name) ? options[name] : undefined;
}

function withoutCommand(argv: readonly string[]): Parsed {
  const json = wantsJson(argv);
  for (const word of argv) {
    if (word === '--version' || word === '-v') return { do: 'version', json };
    if (word === '--help' || word === '-h') return help([]);
    if (word !== '--json') throw unknownOption(word, ['--version', '--help', '--json'], 'See: niia help');
  }
  return help([]);
}

function help(words: readonly string[]): Parsed {
  const [family] = words;
  if (family === undefined || (words.length === 1 && families.has(family))) return { do: 'help', topic: { family } };
  const { command, remote } = findCommand(words);
  return { do: 'help', topic: { command, remote } };
}

function asksForHelp(argv: readonly string[]): boolean {
  return argv.some((word) => word === '--help' || word === '-h');
}

/** Which command the first words name, and how many of them it took. */
export function findCommand(words: readonly string[]): { command: CommandName; remote: boolean; used: number } {
  const [first = '', second] = words;
  if (first === 'remote') return findRemote(words);
  if (families.has(first)) {
    const members = commandNames.filter((name) => name.startsWith(`${first} `));
    const name = `${first} ${second ?? ''}`;
    if (isCommand(name)) return { command: name, remote: false, used: 2 };
    // A first word may be a command by itself as well: what follows is its argument then.
    if (isCommand(first)) return { command: first, remote: false, used: 1 };
    const subs = members.map((member) => member.slice(first.length + 1));
    throw new NiiaError(
      'usage',
      second === undefined
        ? `${first} needs a word more: ${subs.join(', ')}`
        : `unknown command "${name}"${didYouMean(second, subs)}`,
      `See: niia help`,
    );
  }
  if (isCommand(first)) return { command: first, remote: false, used: 1 };
  const known = commandNames.filter((name) => !isHidden(name)).map((name) => name.split(' ')[0] ?? name);
  throw new NiiaError(
    'usage',
    `unknown command "${first}"${didYouMean(first, new Set([...known, 'help']))}`,
    'See: niia help',
  );
}

function findRemote(words: readonly string[]): { command: CommandName; remote: boolean; used: number } {
  const [, second, third] = words;
  const remotes = commandNames.filter((name) => isRemote(name) && !name.includes(' '));
  if (second === 'status' && (third === 'list' || third === undefined)) {
    return { command: 'remote status list', remote: false, used: third === undefined ? 2 : 3 };
  }
  if (second !== undefined && isCommand(second) && isRemote(second)) return { command: second, remote: true, used: 2 };
  if (second !== undefined && isCommand(second) && namesMachines(second)) {
    return { command: second, remote: false, used: 2 };
  }
  const two = `${second} ${third}`;
  if (isCommand(two) && isRemote(two)) return { command: two, remote: true, used: 3 };
  throw new NiiaError(
    'usage',
    second === undefined
      ? `niia remote needs a word more: status list, ${remotes.join(', ')}`
      : `unknown command "remote ${second}"${didYouMean(second, remotes)}`,
    'See: niia help remote',
  );
}

export function isRemote(name: CommandName): boolean {
  const spec: CommandSpec = specs[name];
  return spec.remote === true;
}

/** Whether its arguments say where, so that it stands behind `remote` as it is. */
export function namesMachines(name: CommandName): boolean {
  const spec: CommandSpec = specs[name];
  return spec.namesMachines === true;
}

export function isHidden(name: CommandName): boolean {
  const spec: CommandSpec = specs[name];
  return spec.hidden === true;
}

/** Every option that a command takes. */
export function optionsOf(name: CommandName): Record<string, OptionSpec> {
  const spec: CommandSpec = specs[name];
  return { ...spec.options, ...(spec.remote ? machineOption : {}), ...commonOptions };
}

/** `niia write [TEXT] [options]`, as a person would type it. */
export function usageOf(name: CommandName, remote: boolean): string {
  const spec: CommandSpec = specs[name];
  const args = [...(remote ? ['M'] : []), ...spec.args, ...(spec.words === undefined ? [] : [spec.words])];
  const rest = spec.rest === undefined ? '' : ` [-- ${spec.rest}]`;
  return ['niia', ...(remote ? ['remote'] : []), name, ...args, '[options]'].join(' ') + rest;
}

function parseFor(command: CommandName, remote: boolean, words: readonly Word[]): Parsed {
  const spec: CommandSpec = specs[command];
  const known = optionsOf(command);
  const usage = `Usage: ${usageOf(command, remote)}`;
  const options: RawInvocation['options'] = Object.fromEntries(
    Object.entries(known).map(([name, { kind }]) => [
      name,
      kind === 'flag' ? false : kind === 'list' ? ([] as string[]) : undefined,
    ]),
  );
  const given: Word[] = [];
  let rest: string[] | undefined;
  for (let at = 0; at < words.length; at++) {
    const here = words[at];
    const word = here?.text ?? '';
    if (word === '--') {
      if (spec.rest === undefined) given.push(...words.slice(at + 1));
      else rest = words.slice(at + 1).map(({ text }) => text);
      break;
    }
    if (here && (!word.startsWith('-') || word === '-')) {
      given.push(here);
      continue;
    }
    const [name, inline] = splitOption(word);
    const option = optionNamed(name, known);
    if (!option) {
      const flags = Object.keys(known).map((flag) => `--${flag}`);
      throw unknownOption(word.split('=')[0] ?? word, flags, usage);
    }
    if (option.kind === 'flag') {
      if (inline !== undefined) throw new NiiaError('usage', `--${name} takes no value`, usage);
      options[name] = true;
      continue;
    }
    const value = inline ?? words[++at]?.text;
    if (value === undefined || (inline === undefined && value.startsWith('--'))) {
      throw new NiiaError('usage', `--${name} needs a value: ${option.value ?? 'VALUE'}`, usage);
    }
    const present = options[name];
    options[name] = Array.isArray(present) ? [...present, value] : value;
  }
  if (options['help'] === true) return { do: 'help', topic: { command, remote } };
  let machine = typeof options['machine'] === 'string' && spec.remote ? options['machine'] : undefined;
  // With --all there is no one machine.
  if (remote && machine === undefined && options['all'] !== true) {
    machine = given.shift()?.text;
    if (machine === undefined) throw new NiiaError('usage', `niia remote ${command} needs a machine`, usage);
  }
  const args = given.map(({ text }) => text);
  if (spec.words === undefined) checkArgs(command, args, usage);
  else rest = args;
  const timeout = options['timeout'];
  return {
    do: 'run',
    command,
    invocation: {
      args: spec.args.map((_, at) => args[at]),
      places: given.map(({ at }) => at),
      options,
      rest,
      machine,
      json: options['json'] === true,
      timeoutMs: typeof timeout === 'string' ? seconds(timeout, '--timeout') : undefined,
    },
  };
}

function splitOption(word: string): [string, string | undefined] {
  if (word === '-h') return ['help', undefined];
  if (!word.startsWith('--')) return [word, undefined];
  const at = word.indexOf('=');
  return at < 0 ? [word.slice(2), undefined] : [word.slice(2, at), word.slice(at + 1)];
}

function checkArgs(command: CommandName, args: readonly string[], usage: string): void {
  const spec: CommandSpec = specs[command];
  const missing = spec.args.find((name, at) => !name.startsWith('[') && args[at] === undefined);
  if (missing !== undefined) throw new NiiaError('usage', `${command}: ${missing} is missing`, usage);
  const extra = args[spec.args.length];
  if (extra === undefined) return;
  let hint = usage;
  if (spec.rest !== undefined)
    hint = `Put the words of a command after --, as in: ${spec.examples.find((e) => e.includes(' -- ')) ?? usage}`;
  else if ('session' in spec.options && !spec.args.includes('[TEXT]')) hint = `To name a session: --session ${extra}`;
  throw new NiiaError('usage', `${command}: unexpected argument "${extra}"`, hint);
}

function unknownOption(word: string, candidates: readonly string[], hint: string): NiiaError {
  return new NiiaError('usage', `unknown option "${word}"${didYouMean(word, candidates)}`, hint);
}
