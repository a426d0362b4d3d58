import { beforeAll, describe, expect, it } from 'vitest';
import { runInExtensionHost } from './extension-host.ts';
import { Machine, windowEnvironment, withMachines } from './machines.ts';
import { ensureBuilt, repository } from './package.ts';

beforeAll(async () => {
  await ensureBuilt();
});

describe('in the extension host', () => {
  it('every mocha test passes', async () => {
    const machine = await Machine.started('HOST');
    await withMachines([machine], async () => {
      const result = await runInExtensionHost({
        extensionPath: repository,
        testsPath: `${repository}/test/vscode/host`,
        env: windowEnvironment(machine),
      });
      const failures = result.tests.filter(({ state }) => state !== 'passed');
      expect(failures, result.output).toEqual([]);
      expect(result.passed).toBeGreaterThan(5);
      expect(result.exitCode).toBe(0);
    });
  });
});
