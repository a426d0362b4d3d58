import type { Topic } from './parse.ts';
import { isHidden, isRemote, namesMachines, optionsOf, usageOf } from './parse.ts';
import type { CommandSpec, OptionSpec } from './spec.ts';
import { commonOptions } from './spec.ts';
import type { CommandName } from './specs/all.ts';
import { commandNames, specs } from './specs/all.ts';

const groups: ReadonlyArray<CommandSpec['group']> = [
  'This machine',
  'The team',
  'Sessions',
  'Workers',
  'Runs',
  'Other machines',
  'More',
];

/** The help about everything, about the commands that start with a word, or about one command. */
export function helpText(topic: Topic): string {
  if ('command' in topic) return commandHelp(topic.command, topic.remote);
  if (topic.family === 'remote') return remoteHelp();
  return topic.family === undefined ? overview() : familyHelp(topic.family);
}

function overview(): string {
  const sections = groups.map((group) => {
    const names = commandNames.filter((name) => specs[name].group === group && !isHidden(name) && !isAlias(name));
    const lines = names.map((name): [string, string] => [shortUsage(name), specs[name].summary]);
    if (group === 'Other machines')
      lines.push(['remote X M …', 'command X on machine M; the same as niia X --machine M …']);
    if (group === 'More')
      lines.push(['help [COMMAND]', 'this, or the help of one command'], ['--version', 'the version']);
    return `${group}\n${columns(lines)}`;
  });
  return `Usage: niia COMMAND [options]\n\n${sections.join('\n')}\nEvery command takes\n${optionLines(commonOptions)}`;
}

function remoteHelp(): string {
  const remotes = commandNames.filter((name) => isRemote(name) && !isHidden(name) && !isAlias(name));
  const lines = remotes.map((name): [string, string] => [`remote ${name} M`, specs[name].summary]);
  for (const name of commandNames.filter(namesMachines)) lines.push([`remote ${name}`, specs[name].summary]);
  lines.unshift(['remote status list', specs['remote status list'].summary]);
  return `niia remote X M … does X on machine M; it is the same as niia X --machine M …\n\n${columns(lines)}`;
}

function familyHelp(family: string): string {
  const names = commandNames.filter((name) => name === family || name.startsWith(`${family} `));
  return `Usage: niia ${family} WORD [options]\n\n${columns(names.map((name) => [shortUsage(name), specs[name].summary]))}`;
}

function commandHelp(name: CommandName, remote: boolean): string {
  const spec: CommandSpec = specs[name];
  const parts = [`Usage: ${usageOf(name, remote)}\n\n${capitalised(spec.summary)}.\n`];
  parts.push(`Options\n${optionLines(optionsOf(name))}`);
  if (spec.examples.length > 0) parts.push(`Examples\n${spec.examples.map((line) => `  ${line}\n`).join('')}`);
  if (spec.notes) parts.push(spec.notes.map((line) => `${line}\n`).join(''));
  return parts.join('\n');
}

/** `team invite` and `team join` stand in the overview once, under their short names. */
function isAlias(name: CommandName): boolean {
  return name === 'team invite' || name === 'team join';
}

function shortUsage(name: CommandName): string {
  const spec: CommandSpec = specs[name];
  return (
    [name, ...spec.args, ...(spec.words === undefined ? [] : [spec.words])].join(' ') +
    (spec.rest === undefined ? '' : ` [-- ${spec.rest}]`)
  );
}

function optionLines(options: Readonly<Record<string, OptionSpec>>): string {
  return columns(
    Object.entries(options).map(([name, { value, help }]) => [
      `--${name}${value === undefined ? '' : ` ${value}`}`,
      help,
    ]),
  );
}

function columns(lines: ReadonlyArray<readonly [string, string]>): string {
  const width = Math.max(...lines.map(([left]) => left.length));
  return lines.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('');
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
