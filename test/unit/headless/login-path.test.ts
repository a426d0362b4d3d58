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

function loginPath(env: NodeJS.ProcessEnv, file = join(temporaryFolder(), 'login-path.json')): LoginPath {
  return new LoginPath(file, env);
}

describe("the PATH of the user's terminals", () => {
  test('is what a login shell has, then what this process has', async () => {
    const path = await loginPath(shell('PATH=/from/profile:/usr/bin:/bin; export PATH')).get();
    expect(path).toBe('/from/profile:/usr/bin:/bin:/own');
  });

  test('is found whatever the profile prints, and read once in a while', async () => {
    const count = join(temporaryFolder(), 'count');
    const login = loginPath(shell(`echo x >> ${count}; echo PATH=/wrong; echo noise >&2; PATH=/p:$PATH; export PATH`));
    expect(await login.get()).toMatch(/^\/p:/);
    expect(await login.get()).toMatch(/^\/p:/);
    expect(readFileSync(count, 'utf8')).toBe('x\n');
  });

  test.each([
    ['fails', 'exit 3'],
    ['is killed', 'kill -9 $$'],
    ['prints without end', 'yes'],
  ])('is this process own where the profile %s', async (_, script) => {
    expect(await loginPath(shell(script)).get()).toBe('/usr/bin:/bin:/own');
  });

  test('is this process own where the shell is not there', async () => {
    expect(await loginPath({ SHELL: '/no/such/shell', PATH: '/own' }).get()).toBe('/own');
  });

  test('is waited for in bounds where the profile hangs', async () => {
    const pid = join(temporaryFolder(), 'pid');
    const login = loginPath(shell(`echo $$ > ${pid}; exec sleep 1000`));
    const started = performance.now();
    expect(await login.get()).toBe('/usr/bin:/bin:/own');
    expect(performance.now() - started).toBeLessThan(8_000);
    process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
  });

  test('is that of before at once where the profile is slow, after a restart too, and then the new one', async () => {
    const file = join(temporaryFolder(), 'login-path.json');
    const go = join(temporaryFolder(), 'go');
    const env = shell('PATH=/old; export PATH');
    const profile = (script: string) => writeFileSync(env['SHELL'] ?? '', `#!/bin/sh\n${script}\nexec /bin/sh "$@"\n`);
    await loginPath(env, file).get();
    profile(`PATH=/new; export PATH; while [ ! -e ${go} ]; do /bin/sleep 0.05; done; shift 2`);
    const login = loginPath(env, file);
    const started = performance.now();
    expect(await login.get()).toMatch(/^\/old:/);
    expect(performance.now() - started).toBeLessThan(2_000);
    writeFileSync(go, '');
    await expect.poll(() => login.get(), { timeout: 10_000 }).toMatch(/^\/new:/);
    expect(await loginPath({ ...env, SHELL: '/bin/sh' }, file).get()).not.toContain('/new');
  });

  test('is asked for again where what was kept of it is damaged', async () => {
    const file = join(temporaryFolder(), 'login-path.json');
    writeFileSync(file, '{"shell":');
    expect(await loginPath(shell('PATH=/p; export PATH'), file).get()).toMatch(/^\/p:/);
  });

  test('has each folder once', () => {
    expect(joined('/a:/b:/a', '/b:/c')).toBe('/a:/b:/c');
    expect(joined(undefined, '/b')).toBe('/b');
    expect(joined('/a', undefined)).toBe('/a');
    expect(pathIn('no marks')).toBeUndefined();
  });
});
