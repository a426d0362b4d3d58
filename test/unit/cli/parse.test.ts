import { describe, expect, test } from 'vitest';
import { parse } from '../../../daemon/cli/parse.ts';
import type { CommandSpec } from '../../../daemon/cli/spec.ts';
import { commandNames, specs } from '../../../daemon/cli/specs/all.ts';
import { NiiaError } from '../../../shared/errors.ts';

function run(...argv: string[]) {
  const parsed = parse(argv);
  if (parsed.do !== 'run') throw new Error(`not run: ${JSON.stringify(parsed)}`);
  return { command: parsed.command, ...parsed.invocation };
}

function refusal(...argv: string[]): NiiaError {
  try {
    parse(argv);
  } catch (error) {
    if (error instanceof NiiaError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('the command line', () => {
  test('`remote X M` is `X --machine M`, wherever the flags stand', () => {
    const forms = [
      ['remote', 'write', 'M', 'text', '--session', 's', '--json'],
      ['write', '--machine', 'M', '--session', 's', 'text', '--json'],
      ['--json', 'write', '--session=s', 'text', '--machine=M'],
      ['--json', '--machine', 'M', 'write', 'text', '--session', 's'],
    ];
    for (const form of forms) {
      expect(run(...form)).toMatchObject({ command: 'write', machine: 'M', args: ['text'], json: true });
      expect(run(...form).options).toMatchObject({ session: 's' });
    }
  });

  test('words after -- go to a command as they are, flags and all', () => {
    expect(run('new', '--name', 'n', '--', 'ls', '--json', '-la')).toMatchObject({
      rest: ['ls', '--json', '-la'],
      json: false,
      options: { name: 'n' },
    });
    expect(run('remote', 'ask', 'M', '--', 'git', 'status')).toMatchObject({
      rest: ['git', 'status'],
      args: [undefined],
    });
  });

  test('a text that looks like a flag can be typed after --', () => {
    expect(run('write', '--session', 's', '--', '--help').args).toEqual(['--help']);
  });

  test('common options may stand before the command, and their values are no commands', () => {
    expect(run('--timeout', '2.5', 'list')).toMatchObject({ command: 'list', timeoutMs: 2_500 });
  });

  test('an option that may be repeated keeps all its values', () => {
    expect(run('new', '--env', 'A=1', '--env=B=2').options['env']).toEqual(['A=1', 'B=2']);
  });

  test('remote status list is every machine; remote status M is one', () => {
    expect(run('remote', 'status', 'list')).toMatchObject({ command: 'remote status list', machine: undefined });
    expect(run('remote', 'status')).toMatchObject({ command: 'remote status list' });
    expect(run('remote', 'status', 'M')).toMatchObject({ command: 'status', machine: 'M' });
    expect(run('remote', 'config', 'get', 'M', 'ask')).toMatchObject({
      command: 'config get',
      machine: 'M',
      args: ['ask'],
    });
  });

  test('help is about everything, a family, or a command', () => {
    expect(parse(['--help'])).toEqual({ do: 'help', topic: { family: undefined } });
    expect(parse([])).toEqual({ do: 'help', topic: { family: undefined } });
    expect(parse(['team', '--help'])).toEqual({ do: 'help', topic: { family: 'team' } });
    expect(parse(['help', 'remote'])).toEqual({ do: 'help', topic: { family: 'remote' } });
    expect(parse(['remote', 'ask', '--help'])).toEqual({ do: 'help', topic: { command: 'ask', remote: true } });
    expect(parse(['help', 'team', 'role'])).toEqual({ do: 'help', topic: { command: 'team role', remote: false } });
  });

  test.each([
    [['statsu'], /unknown command "statsu"; did you mean "status"/],
    [['remote', 'aks', 'M'], /"remote aks"; did you mean "ask"/],
    [['team', 'shwo'], /did you mean "show"/],
    [['list', '--jsno'], /unknown option "--jsno"; did you mean "--json"/],
    [['list', '-x'], /unknown option "-x"/],
    [['read', '--session'], /--session needs a value/],
    [['read', '--session', '--json'], /--session needs a value/],
    [['list', '--json=yes'], /--json takes no value/],
    [['join'], /CODE is missing/],
    [['remote', 'list'], /needs a machine/],
    [['new', 'htop'], /unexpected argument "htop"/],
    [['join', 'CODE', '--machine', 'M'], /unknown option "--machine"/],
    [['list', '--timeout', 'soon'], /not a number of seconds/],
    [['list', '--timeout', '0'], /not a number of seconds/],
    [['upgrde'], /unknown command "upgrde"/],
    [['--nonsense'], /unknown option/],
  ])('%j is refused as usage, with what is wrong', (argv, message) => {
    const error = refusal(...argv);
    expect(error).toMatchObject({ code: 'usage', exitCode: 2 });
    expect(error.message).toMatch(message);
    expect(error.hint).toBeTruthy();
  });

  test('an option means the same for every command, so that it is known before the command is', () => {
    const kinds = new Map<string, boolean>();
    for (const name of commandNames) {
      const spec: CommandSpec = specs[name];
      for (const [option, { kind }] of Object.entries(spec.options)) {
        expect(kinds.get(option) ?? kind === 'flag', `--${option} of ${name}`).toBe(kind === 'flag');
        kinds.set(option, kind === 'flag');
      }
    }
  });

  test('every visible command has examples, and what they show is accepted', () => {
    for (const name of commandNames) {
      const spec: CommandSpec = specs[name];
      if (spec.hidden) continue;
      expect(spec.examples.length, name).toBeGreaterThan(0);
      // Those that a shell would split at spaces only.
      for (const example of spec.examples.filter((line) => /^niia [\w .:=,/-]+$/.test(line))) {
        expect(() => parse(example.split(' ').slice(1)), example).not.toThrow();
      }
    }
  });
});
