import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { entry, node, withTeam } from '../support/machine.ts';

const bash = ['--', '/bin/bash', '--norc', '--noprofile'];

describe('what a session is doing', () => {
  test('is told here and by other machines, reported from inside, explained, and survives the daemon', () =>
    withTeam(['NEAR', 'FAR'], async (near, far) => {
      const session = await near.ok('new', '--name', 'work', ...bash);
      await near.ok('wait', '--session', session, '--state', 'idle', '--timeout', '20');
      await near.ok('write', '--session', session, 'sleep 1000\r');
      expect(await far.ok('remote', 'wait', 'NEAR', '--session', 'work', '--state', 'busy', '--timeout', '20')).toBe(
        'busy',
      );
      await near.killDaemon();
      await near.ok('up', '--direct', 'off', '--p2p', 'off', '--lan', 'off');
      const { sessions } = await near.json<{ sessions: Array<Record<string, unknown>> }>('list');
      expect(sessions).toMatchObject([{ id: session, state: 'busy', stateEvidence: { source: 'foreground' } }]);
      await near.ok('write', '--session', session, '\x03');
      await near.ok('wait', '--session', session, '--state', 'idle', '--timeout', '20');

      await near.ok('write', '--session', session, `${node} ${entry} report --state blocked --message 'may I?'\r`);
      await near.ok('wait', '--session', session, '--state', 'blocked', '--timeout', '20');
      const text = await near.ok('explain', '--session', session);
      expect(text).toContain('blocked');
      expect(text).toMatch(/report +blocked +report +90 %.*"may I\?"/);
      const explained = await far.json('remote', 'explain', 'NEAR', '--session', 'work');
      expect(explained).toMatchObject({ machine: 'NEAR', state: 'blocked', stateEvidence: { source: 'report' } });

      const outside = await near.run(['report', '--state', 'busy']);
      expect(outside).toMatchObject({ code: 2, stderr: expect.stringContaining('not inside a session') });
      const env = { NIIA_SESSION: session, NIIA_SESSION_TOKEN: 'made-up' };
      expect(await near.run(['report', '--state', 'busy'], { env })).toMatchObject({ code: 10 });
    }));

  test('is known of a program whose recorded output a file has', () =>
    withTeam(['BOX'], async (box) => {
      const recorded = resolve('test/fixtures/ai-cli/gemini-5-approval.bin');
      expect(readFileSync(recorded).length).toBeGreaterThan(0);
      // By its name it is gemini; what it writes is what gemini wrote.
      const session = await box.ok(
        'new',
        '--cols',
        '120',
        '--rows',
        '40',
        '--',
        'bash',
        '-c',
        `exec -a gemini tail -n +1 -f ${recorded}`,
      );
      await box.ok('wait', '--session', session, '--state', 'blocked', '--timeout', '20');
      const read = await box.json('read', '--session', session);
      expect(read).toMatchObject({ state: 'blocked', evidence: expect.stringContaining('gemini.title-blocked') });
    }));
});
