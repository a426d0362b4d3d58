import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NiiaError } from '../../../shared/errors.ts';
import { isErrno } from '../../home/files.ts';
import type { Run } from '../context.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { findCommand, isHidden, isRemote, optionsOf } from '../parse.ts';
import type { CommandSpec, Completes, OptionSpec } from '../spec.ts';
import type { CommandName, Specs } from '../specs/all.ts';
import { commandNames, specs } from '../specs/all.ts';

/** Whoever pressed Tab does not wait longer for names. */
const namesWithinMs = 1_000;

interface Offer {
  word: string;
  about?: string;
}

export const complete: Run<Specs['__complete']> = async ({ rest }, { daemon, out }) => {
  const words = [...(rest ?? [])];
  const last = words.pop() ?? '';
  const offers = await offersFor(words, last, daemon);
  const fitting = offers.filter(({ word }) => word.startsWith(last));
  await out.text(
    fitting.map(({ word, about }) => (about === undefined ? `${word}\n` : `${word}\t${about}\n`)).join(''),
  );
};

async function offersFor(words: readonly string[], last: string, daemon: DaemonClient): Promise<Offer[]> {
  if (words.includes('--')) return [];
  const place = placeOf(words);
  if (!place) return nextWords(words);
  const { command, remote, after } = place;
  const options = optionsOf(command);
  const previous = words.at(-1) ?? '';
  const option = previous.startsWith('--') ? options[previous.slice(2)] : undefined;
  if (option && option.kind !== 'flag') return await valuesOf(option.completes, last, machineIn(words, place), daemon);
  if (last.startsWith('-')) return optionOffers(options, words);
  const given = argumentsIn(after, options);
  if (remote && given.length === 0) return await valuesOf({ from: 'machines' }, last, undefined, daemon);
  const spec: CommandSpec = specs[command];
  const completes = spec.argCompletes?.[given.length - (remote ? 1 : 0)];
  const values = await valuesOf(completes, last, machineIn(words, place), daemon);
  return values.length > 0 ? values : optionOffers(options, words);
}

interface Place {
  command: CommandName;
  remote: boolean;
  /** What follows the words of the command. */
  after: readonly string[];
}

/** The command that the words name, if they name one already. */
function placeOf(words: readonly string[]): Place | undefined {
  const plain = words.filter((word) => !word.startsWith('-'));
  // `remote status` is whole as it is, and may yet become `remote status list`.
  if (plain.length === 0 || (plain.length === 2 && plain[0] === 'remote' && plain[1] === 'status')) return undefined;
  try {
    const { command, remote, used } = findCommand(plain);
    const lastOfCommand = plain[used - 1] ?? '';
    return { command, remote, after: words.slice(words.indexOf(lastOfCommand) + 1) };
  } catch (error) {
    if (error instanceof NiiaError && error.code === 'usage') return undefined;
    throw error;
  }
}

/** The words that may come next in the name of a command. */
function nextWords(words: readonly string[]): Offer[] {
  const plain = words.filter((word) => !word.startsWith('-'));
  const names = commandNames.filter((name) => !isHidden(name));
  const remotes = names.filter(isRemote).map((name) => ({ path: `remote ${name}`, about: specs[name].summary }));
  const paths = [...names.map((name) => ({ path: name, about: specs[name].summary })), ...remotes];
  const start = plain.map((word) => `${word} `).join('');
  const offers = new Map<string, string>();
  for (const { path, about } of paths) {
    if (!path.startsWith(start)) continue;
    const [word = '', ...more] = path.slice(start.length).split(' ');
    if (!offers.has(word)) offers.set(word, more.length === 0 ? about : `${start}${word} …`);
  }
  if (plain.length === 0) offers.set('help', 'help about a command');
  return [...offers].map(([word, about]) => ({ word, about }));
}

function optionOffers(options: Readonly<Record<string, OptionSpec>>, given: readonly string[]): Offer[] {
  return Object.entries(options)
    .filter(([name, { kind }]) => kind === 'list' || !given.includes(`--${name}`))
    .map(([name, { help }]) => ({ word: `--${name}`, about: help }));
}

/** The arguments among the words after a command. */
function argumentsIn(words: readonly string[], options: Readonly<Record<string, OptionSpec>>): string[] {
  const found: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const option = word.startsWith('--') ? options[word.slice(2)] : undefined;
    if (option && option.kind !== 'flag') at++;
    else if (!word.startsWith('-')) found.push(word);
  }
  return found;
}

function machineIn(words: readonly string[], { command, remote, after }: Place): string | undefined {
  const at = words.indexOf('--machine');
  return remote ? argumentsIn(after, optionsOf(command))[0] : at < 0 ? undefined : words[at + 1];
}

async function valuesOf(
  completes: Completes | undefined,
  last: string,
  machine: string | undefined,
  daemon: DaemonClient,
): Promise<Offer[]> {
  if (!completes) return [];
  if (completes.from === 'words') return completes.words.map((word) => ({ word }));
  if (completes.from === 'files' || completes.from === 'folders') return files(last, completes.from === 'folders');
  try {
    return completes.from === 'machines' ? await machines(daemon) : await sessions(last, machine, daemon);
  } catch (error) {
    // Without a daemon there are no names to offer, and a prompt is no place for an error.
    if (error instanceof NiiaError) return [];
    throw error;
  }
}

async function machines(daemon: DaemonClient): Promise<Offer[]> {
  const { machines } = await daemon.ask('machine.list', {}, { deadlineMs: namesWithinMs });
  return machines.map(({ name, online }) => ({ word: name, about: online ? 'online' : 'offline' }));
}

async function sessions(last: string, machine: string | undefined, daemon: DaemonClient): Promise<Offer[]> {
  const at = last.indexOf('/');
  const prefix = machine === undefined && at >= 0 ? last.slice(0, at + 1) : '';
  const to = machine ?? (prefix === '' ? undefined : prefix.slice(0, -1));
  const { sessions } = await daemon.ask('session.list', {}, { to, deadlineMs: namesWithinMs });
  return sessions.flatMap(({ id, name, state, command }) =>
    [...new Set([id, name])].filter(Boolean).map((word) => ({ word: prefix + word, about: `${state} ${command}` })),
  );
}

function files(last: string, foldersOnly: boolean): Offer[] {
  const folder = last.endsWith('/') ? last : dirname(last);
  try {
    return readdirSync(folder || '.', { withFileTypes: true })
      .filter((entry) => !foldersOnly || entry.isDirectory())
      .map((entry) => {
        const path = last.includes('/') ? join(folder, entry.name) : entry.name;
        return { word: entry.isDirectory() ? `${path}/` : path };
      });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
    throw error;
  }
}
