import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acquireLock } from '../../../daemon/home/lock.ts';
import { defineService } from '../../../daemon/service/definition.ts';
import { launchdAgent } from '../../../daemon/service/launchd-agent.ts';
import { launcher } from '../../../daemon/service/launcher.ts';
import { systemdUnit } from '../../../daemon/service/systemd-unit.ts';
import { windowsTask } from '../../../daemon/service/windows-task.ts';
import { ensureDebianPackages } from '../../setup/debian.mjs';

const homes = ['/home/u/.niia', `/srv/a b/100% of "it" & <more> 'so' \\ $HOME \`x\` ünï 机`];
const define = (home: string, env: NodeJS.ProcessEnv = {}) =>
  defineService({ home, defaultHome: '/home/u/.niia', node: ['/usr/bin/node'], entry: `${home}/service.mjs`, env });

let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'niia-service-files-'));
  await ensureDebianPackages(['libxml2-utils', 'libplist-utils']);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

describe('what is run', () => {
  it('has a name of its own for each home', () => {
    const names = ['/home/u/.niia', '/a', '/b'].map((home) => define(home).name);
    expect(names[0]).toBe('niia');
    expect(names[1]).toMatch(/^niia-[0-9a-f]{12}$/);
    expect(new Set(names).size).toBe(3);
  });

  it('takes the PATH, the log level and the proxies along, and nothing else', () => {
    const env = { PATH: '/x:/y', HTTPS_PROXY: 'http://p:1', NIIA_LOG: 'debug', SECRET_TOKEN: 's', NO_PROXY: '' };
    expect(define('/a', env).environment).toEqual({
      NIIA_HOME: '/a',
      PATH: '/x:/y',
      HTTPS_PROXY: 'http://p:1',
      NIIA_LOG: 'debug',
    });
  });

  it.each(['/a\nExecStart=/bin/evil', '/a\u0000', '/a\u007f'])('refuses control characters: %j', (home) => {
    expect(() => define(home)).toThrow(/control characters/);
    expect(() => define('/a', { PATH: home })).toThrow(/control characters/);
  });
});

describe.each(homes)('the files for %s', (home) => {
  const definition = define(home, { PATH: `/bin:${home}` });

  it('systemd: words and variables come back as they were', () => {
    const unit = systemdUnit(definition, 252);
    const words = (line: string): string[] =>
      [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) =>
        word.replace(/\\(.)/g, '$1').replaceAll('%%', '%'),
      );
    const line = (key: string): string[] => unit.split('\n').filter((one) => one.startsWith(`${key}=`));
    expect(words(line('ExecStart')[0]!)).toEqual(definition.command);
    expect(line('ExecStart')[0]).toMatch(/^ExecStart=:"\//);
    expect(line('Environment').flatMap(words)).toEqual([`NIIA_HOME=${home}`, `PATH=/bin:${home}`]);
    for (const promise of ['KillMode=process', 'Restart=on-failure', 'OOMPolicy=continue'])
      expect(unit).toContain(promise);
    expect(unit).not.toContain('RestartSteps');
    expect(unit).toContain('RestartSec=5\n');
    const newer = systemdUnit(definition, 255);
    expect(newer).toContain('RestartSteps=8\nRestartMaxDelaySec=60');
    // A daemon that cannot start for a while, on a full disk say, is not given up.
    for (const one of [unit, newer]) {
      expect(one).toContain('[Unit]\nDescription=niia');
      expect(one).toMatch(/^StartLimitIntervalSec=0$/m);
      expect(one).not.toContain('StartLimitBurst');
    }
  });

  it('launchd: a property list that goes through the binary form unchanged', () => {
    const binary = join(scratch, 'agent.bin');
    const convert = (...args: string[]): string => execFileSync('plistutil', args, { encoding: 'utf8' });
    convert('-i', file('agent.plist', launchdAgent(definition, `${home}/daemon.log`)), '-f', 'bin', '-o', binary);
    const told = [...convert('-i', binary, '-f', 'xml').matchAll(/<(\w+)(?:\/|>([^<]*)(?=<))/g)]
      .filter(([, tag = '']) => ['key', 'string', 'integer', 'true', 'false'].includes(tag))
      .map(([, tag, text]) => text?.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&') ?? tag);
    expect(told).toEqual([
      ...['Label', definition.name, 'ProgramArguments', ...definition.command],
      ...['EnvironmentVariables', ...Object.entries(definition.environment).flat(), 'WorkingDirectory', '/'],
      ...['RunAtLoad', 'true', 'KeepAlive', 'SuccessfulExit', 'false', 'ThrottleInterval', '5'],
      ...['AbandonProcessGroup', 'true', 'StandardErrorPath', `${home}/daemon.log`],
    ]);
  });

  it('Windows: a well-formed task whose words set the home', () => {
    const task = windowsTask(definition, 'PC\\A & B');
    const path = file('task.xml', Buffer.from(`\ufeff${task}`, 'utf16le'));
    const at = (name: string): string =>
      execFileSync('xmllint', ['--xpath', `string(//*[local-name()="${name}"])`, path], { encoding: 'utf8' }).trim();
    expect(at('Command')).toBe('/usr/bin/node');
    expect(at('UserId')).toBe('PC\\A & B');
    expect(at('RestartOnFailure')).toMatch(/PT1M\s+999/);
    const words = argvOf(at('Arguments'));
    expect(words.slice(1)).toEqual(definition.command.slice(1));
    const { stdout } = spawnSync(process.execPath, [words[0]!, '-p', 'process.env.NIIA_HOME'], { encoding: 'utf8' });
    expect(stdout.trim()).toBe(home);
  });
});

/** A command line taken apart as Microsoft's C run-time library does. */
function argvOf(line: string): string[] {
  return [...line.matchAll(/(?:[^\s"]|"(?:\\.|[^"])*")+/g)].map(([word]) =>
    word.replace(/(\\*)"/g, (_, slashes: string) => '\\'.repeat(slashes.length >> 1) + (slashes.length % 2 ? '"' : '')),
  );
}

describe('the launcher', () => {
  const run = (): string => {
    const { stdout, stderr } = spawnSync(process.execPath, [join(scratch, 'service.mjs'), 'daemon'], {
      encoding: 'utf8',
    });
    return stdout + (stderr === '' ? '' : `(${stderr.split(':')[0]})`);
  };

  it('runs what was upgraded to, and what installed it where that is gone or the pointer is damaged', () => {
    const say = (what: string): string => `process.stdout.write('${what} ' + process.argv[2]);`;
    const own = file('own.mjs', say('own'));
    const upgraded = file('upgraded.mjs', say('upgraded'));
    file('service.mjs', launcher(own));
    mkdirSync(join(scratch, 'versions'));
    expect(run()).toBe('own daemon(niia service)');
    file('versions/current.json', JSON.stringify({ entry: upgraded }));
    expect(run()).toBe('upgraded daemon');
    file('versions/current.json', JSON.stringify({ entry: `${upgraded}.gone` }));
    expect(run()).toBe('own daemon(niia service)');
    file('versions/current.json', '{"entry": 3');
    expect(run()).toBe('own daemon(niia service)');
    expect(readFileSync(join(scratch, 'service.mjs'), 'utf8')).toContain(JSON.stringify(own));
  });

  it('runs what ran before while an upgrade is undecided, unless its supervisor works', async () => {
    const say = (what: string): string => `process.stdout.write('${what} ' + process.argv[2]);`;
    const [older, newer] = [file('older.mjs', say('older')), file('newer.mjs', say('newer'))];
    file('service.mjs', launcher(older));
    mkdirSync(join(scratch, 'versions'), { recursive: true });
    file('versions/current.json', JSON.stringify({ entry: newer, previous: { entry: older }, pending: 'u1' }));
    expect(run()).toBe('older daemon');
    const path = join(scratch, 'upgrade.lock');
    const lock = await acquireLock(path);
    if ('heldBy' in lock) throw new Error(`held by ${lock.heldBy}`);
    expect(run()).toBe('newer daemon');
    // Before the computer restarted, another process had that id.
    const stale = { ...(JSON.parse(readFileSync(path, 'utf8')) as object), started: '1@another-boot' };
    lock.release();
    file('upgrade.lock', JSON.stringify(stale));
    expect(run()).toBe('older daemon');
    file('upgrade.lock', '{"pid": ');
    expect(run()).toBe('older daemon');
    file('versions/current.json', JSON.stringify({ entry: newer, previous: { entry: older }, pending: null }));
    expect(run()).toBe('newer daemon');
  });
});
