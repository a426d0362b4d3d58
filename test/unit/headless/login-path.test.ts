import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { joined, LoginPath, pathIn } from '../../../daemon/headless/login-path.ts';
import { temporaryFolder } from './support.ts';

/** A shell whose start-up files are what `script` does. */
function shell(script: string): NodeJS.ProcessEnv {
  const file = join(temporaryFolder(), 'shell');
  writeFileSync(file, `#!/bin/sh\n${script}\nshift 2\nexec /bin/sh "$@"\n`);
  chmodSync(file, 0o755);
  return { SHELL: file, PATH: '/usr/bin:/bin:/own' };
}

describe("the PATH of the user's terminals", () => {
  test('is what a login shell has, then what this process has', async () => {
    const path = await new LoginPath(shell('PATH=/from/profile:/usr/bin:/bin; export PATH')).get();
    expect(path).toBe('/from/profile:/usr/bin:/bin:/own');
  });

  test('is found whatever the profile prints, and read once in a while', async () => {
    const count = join(temporaryFolder(), 'count');
    const login = new LoginPath(
      shell(`echo x >> ${count}; echo PATH=/wrong; echo noise >&2; PATH=/p:$PATH; export PATH`),
    );
    expect(await login.get()).toMatch(/^\/p:/);
    expect(await login.get()).toMatch(/^\/p:/);
    expect(readFileSync(count, 'utf8')).toBe('x\n');
  });

  test.each([
    ['fails', 'exit 3'],
    ['is killed', 'kill -9 $$'],
    ['prints without end', 'yes'],
  ])('is this process own where the profile %s', async (_, script) => {
    expect(await new LoginPath(shell(script)).get()).toBe('/usr/bin:/bin:/own');
  });

  test('is this process own where the shell is not there', async () => {
    expect(await new LoginPath({ SHELL: '/no/such/shell', PATH: '/own' }).get()).toBe('/own');
  });

  test('is waited for in bounds where the profile hangs', async () => {
    const pid = join(temporaryFolder(), 'pid');
    const login = new LoginPath(shell(`echo $$ > ${pid}; exec sleep 1000`));
    const started = performance.now();
    expect(await login.get()).toBe('/usr/bin:/bin:/own');
    expect(performance.now() - started).toBeLessThan(8_000);
    process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
  });

  test('has each folder once', () => {
    expect(joined('/a:/b:/a', '/b:/c')).toBe('/a:/b:/c');
    expect(joined(undefined, '/b')).toBe('/b');
    expect(joined('/a', undefined)).toBe('/a');
    expect(pathIn('no marks')).toBeUndefined();
  });
});
