import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { endLeftovers, TestMachine } from '../support/machine.ts';

const soon = { timeout: 20_000, interval: 100 };

interface Status {
  disk: { total: number; sessions: number; free: number; cap: number; capSessions: number; warnings: string[] };
}

describe.runIf(process.getuid?.() === 0 && process.platform === 'linux')('a machine whose disk is full', () => {
  it('says so in its status while its sessions go on, and no longer once there is room', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'niia-disk-'));
    const home = join(scratch, 'home');
    const sessions = join(home, 'sessions');
    mkdirSync(sessions, { recursive: true, mode: 0o700 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', sessions]);
    const a = new TestMachine('FULL', home);
    try {
      await a.ok('up', '--direct', 'off', '--p2p', 'off', '--lan', 'off');
      await a.ok('config', 'set', 'disk', '100MB');
      await a.ok('config', 'set', 'disk.sessions', '7');
      const script = 'stty -echo; seq 1 400000; read go; echo last; exec cat';
      await a.ok('new', '--name', 'main', '--', 'sh', '-c', script);
      await a.ok('wait', '--match', '^400000$', '--timeout', '60');
      const disk = async () => (await a.json<Status>('status')).disk;
      await expect
        .poll(async () => (await disk()).warnings.join('\n'), soon)
        .toMatch(/output of local-1 is not kept.*ENOSPC/);
      expect(await disk()).toMatchObject({ cap: 100 << 20, capSessions: 7 });
      expect((await disk()).warnings.join('\n')).toMatch(/the disk has .* left/);
      expect(await a.ok('status')).toMatch(/warning +output of local-1/);
      execFileSync('mount', ['-o', 'remount,size=200m', sessions]);
      await expect.poll(async () => (await disk()).warnings, soon).toEqual([]);
      expect((await disk()).sessions).toBeGreaterThan(2 << 20);
      await a.ok('write', '\n');
      await a.ok('wait', '--match', 'last', '--timeout', '10');
      for (const wrong of [
        ['disk', 'much'],
        ['disk.sessions', '0'],
      ]) {
        expect([wrong, (await a.run(['config', 'set', ...wrong])).code]).toEqual([wrong, 2]);
      }
    } finally {
      await a.run(['down', '--sessions']);
      endLeftovers(home);
      execFileSync('umount', ['-l', sessions]);
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});
