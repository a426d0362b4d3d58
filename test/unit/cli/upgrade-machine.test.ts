import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DaemonClient } from '../../../daemon/cli/daemon-client.ts';
import { Deadline } from '../../../daemon/cli/deadline.ts';
import { upgradeMachine } from '../../../daemon/cli/upgrade-machine.ts';
import type { BundleFile } from '../../../daemon/lifecycle/make-bundle.ts';
import { NiiaError } from '../../../shared/errors.ts';
import type { InstallationInfo } from '../../../shared/protocol/upgrade-methods.ts';

let folder: string;
let bundle: BundleFile;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-upgrade-'));
  const path = join(folder, 'bundle');
  writeFileSync(path, '0123456789');
  const manifest = { version: '9.0.0', build: 'b', target: 'any', natives: {} };
  bundle = { path, size: 10, hash: 'h', manifest } as unknown as BundleFile;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const here = { machine: 'there', id: 'm', version: '1.0.0' } as unknown as InstallationInfo;
const busy = (): NiiaError => new NiiaError('busy', 'another upgrade of this machine is under way, by asker');
const broken = (): NiiaError => new NiiaError('link_lost', 'the link broke');

interface Play {
  /** What becomes of each `upgrade.begin`, in turn, then of each `upgrade.send`: an error, or it works. */
  begins?: (NiiaError | undefined)[];
  sends?: (NiiaError | undefined)[];
  /** What `upgrade.status` says. */
  state?: 'trying' | 'upgraded';
  timeoutMs?: number;
}

/** A machine that is upgraded as the play has it, and what was asked of it. */
function machine({ begins = [], sends = [], state = 'upgraded', timeoutMs }: Play) {
  const asked: string[] = [];
  const deadline = new Deadline(timeoutMs);
  const turn = (turns: (NiiaError | undefined)[]): void => {
    const error = turns.shift();
    if (error) throw error;
  };
  const answers: Record<string, () => unknown> = {
    'upgrade.sign': () => ({ signed: {} }),
    'upgrade.begin': () => {
      turn(begins);
      return { id: 'u', offset: 0 };
    },
    'upgrade.status': () => ({ state, from: null, sessionsKept: 0, daemonDownMs: 1, reason: null }),
  };
  const client = {
    get leftMs() {
      return deadline.leftMs;
    },
    ask: async (method: string) => {
      asked.push(method);
      return answers[method]?.();
    },
    change: async () => ({ id: 'u' }),
    call: async (method: string) => {
      asked.push(method);
      const result = (async () => {
        turn(sends);
        return { received: 10 };
      })();
      return {
        onEvent: () => undefined,
        sink: () => ({ writeAll: async () => undefined, end: () => undefined }),
        result,
      };
    },
  };
  const upgrade = () => upgradeMachine(client as unknown as DaemonClient, here, bundle, false, () => undefined);
  return { asked, upgrade, of: (method: string) => asked.filter((one) => one === method).length };
}

describe('an upgrade by command', () => {
  test('ends where the machine takes another one, before or after it was begun', async () => {
    const begun = machine({ begins: [busy()] });
    await expect(begun.upgrade()).rejects.toMatchObject({ code: 'busy' });
    const sent = machine({ sends: [busy()] });
    await expect(sent.upgrade()).rejects.toMatchObject({ code: 'busy' });
    expect([begun, sent].map(({ of }) => of('upgrade.begin'))).toEqual([1, 1]);
  });

  test('waits for the machine to notice that its own last attempt broke, and no longer', async () => {
    const resumed = machine({ begins: [undefined, busy(), busy()], sends: [broken()] });
    expect(await resumed.upgrade()).toMatchObject({ to: '9.0.0', rolledBack: false });
    expect(resumed.of('upgrade.begin')).toBe(4);
    const late = machine({ begins: [undefined, busy()], sends: [broken(), busy()] });
    await expect(late.upgrade()).rejects.toMatchObject({ code: 'busy' });
    expect(late.of('upgrade.send')).toBe(2);
  });

  test('ends at --timeout while it is not decided', async () => {
    const slow = machine({ state: 'trying', timeoutMs: 300 });
    const before = performance.now();
    await expect(slow.upgrade()).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('not decided yet'),
      hint: expect.stringContaining('goes on there'),
    });
    expect(performance.now() - before).toBeLessThan(5_000);
  });
});
