import { describe, expect, it } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { encodeInvite } from '../../../daemon/team/invite-code.ts';
import { remembered, withCommand } from '../../../extension/ask-history.ts';
import { targetOf } from '../../../extension/command-ids.ts';
import { commandWords } from '../../../extension/command-words.ts';
import { initialState } from '../../../extension/connection-state.ts';
import { daemonAddress } from '../../../extension/daemon-connection.ts';
import type { Finding } from '../../../extension/find-niia.ts';
import { daemonEnvironment, findNiia } from '../../../extension/find-niia.ts';
import { bareCode, codeProblem, nameProblem } from '../../../extension/input-rules.ts';
import { bytes, escapeMarkdown, machineRow, moment, sessionRow } from '../../../extension/machine-text.ts';
import { statusText } from '../../../extension/status-text.ts';
import type { MachineInfo, SessionInfo } from '../../../shared/protocol/shapes.ts';

const now = new Date(2026, 10, 22, 14, 30);
const at = (hour: number, day = 22): string => new Date(2026, 10, day, hour, 5).toISOString();
const machine: MachineInfo = {
  ...{ name: 'box', id: '0123', self: false, online: true, path: 'p2p', rttMs: 12.4, since: at(9), lastSeen: null },
  ...{
    version: '0.1.0',
    platform: 'linux-x64',
    headless: 'running',
    sessions: 2,
    role: 'operator',
    labels: { gpu: 'yes' },
  },
};
const session: SessionInfo = {
  ...{
    id: 'local-1',
    name: 'work',
    command: 'bash --norc',
    argv: ['bash', '--norc'],
    cwd: '/srv',
    pid: 7,
    cols: 80,
    rows: 24,
  },
  ...{
    state: 'busy',
    evidence: 'output 1 s ago',
    title: '',
    createdAt: at(10),
    endedAt: null,
    exitCode: null,
    signal: null,
  },
  ...{ viewers: 2, outputBytes: 10, firstOffset: 0, owner: '0123', logError: null },
};

describe('the row of a machine', () => {
  it('says by which path, how fast, and which version', () => {
    const row = machineRow(machine, now);
    expect(row).toMatchObject({
      label: 'box',
      description: 'p2p · 12 ms · 0.1.0',
      icon: 'vm-active',
      color: 'charts.green',
    });
    expect(row.spoken).toBe('box, online, p2p, 12 ms, 0.1.0, 2 sessions');
    expect(row.contextValue).toBe('machine;online;other;headless-running');
    expect(row.tooltip).toContain('| Labels | gpu=yes |');
  });

  it('says which one is this machine, and that its headless server is stopped', () => {
    const row = machineRow({ ...machine, self: true, path: null, rttMs: null, headless: 'stopped' }, now);
    expect(row.description).toBe('0.1.0 · this machine · headless stopped');
  });

  it('says since when it is offline: the time of today, else the day', () => {
    const off = { ...machine, online: false, path: null, rttMs: null };
    expect(machineRow({ ...off, since: at(9) }, now).description).toBe('offline since 09:05');
    expect(machineRow({ ...off, since: null, lastSeen: at(9, 20) }, now).description).toBe(
      'offline since 2026-11-20 09:05',
    );
    expect(machineRow({ ...off, since: null }, now)).toMatchObject({
      description: 'offline',
      color: 'disabledForeground',
    });
  });

  it('lets nobody write markup into a tooltip', () => {
    const tooltip = machineRow({ ...machine, labels: { a: '[x](command:evil) <b> $(icon)|' } }, now).tooltip;
    expect(tooltip).toContain(escapeMarkdown('a=[x](command:evil) <b> $(icon)|'));
    expect(tooltip).not.toContain('](command');
  });
});

describe('the row of a session', () => {
  it('says what it does, what it runs and who looks on', () => {
    expect(sessionRow(session, 'box', now)).toMatchObject({
      description: 'busy · bash --norc · 2 viewers',
      contextValue: 'session;live',
      spoken: 'session work on box, busy, bash --norc, 2 viewers',
    });
  });

  it('says how it ended, and shows at a glance whether that was well', () => {
    const exited = { ...session, state: 'exited', viewers: 0, exitCode: 0 } as const;
    expect(sessionRow(exited, 'box', now)).toMatchObject({
      description: 'exit 0 · bash --norc',
      color: 'disabledForeground',
    });
    const killed = sessionRow({ ...exited, exitCode: null, signal: 'SIGKILL' }, 'box', now);
    expect(killed).toMatchObject({
      description: 'ended by SIGKILL · bash --norc',
      color: 'charts.red',
      contextValue: 'session;ended',
    });
  });
});

describe('small texts', () => {
  it('count bytes, tell times and sum up the team', () => {
    expect([bytes(0), bytes(999), bytes(1_500), bytes(23_400_000)]).toEqual([
      '0 bytes',
      '999 bytes',
      '1.5 kB',
      '23 MB',
    ]);
    expect(moment('never', now)).toBe('never');
    const connected = { ...initialState, phase: 'connected' } as const;
    expect(statusText(connected, [machine, { ...machine, name: 'far', online: false }])).toEqual({
      text: '$(vm-active) 1/2',
      tooltip: 'niia: 1 of 2 machines online (box)',
    });
    expect(statusText({ ...initialState, phase: 'absent' }, undefined).text).toContain('off');
  });

  it('split a command line as a shell would', () => {
    expect(commandWords(`  git commit -m "two words" 'it''s' a\\ b ""`)).toEqual([
      'git',
      'commit',
      '-m',
      'two words',
      'its',
      'a b',
      '',
    ]);
    expect(commandWords('')).toEqual([]);
    expect(commandWords('"a\\"b\\\\c\\n"')).toEqual(['a"b\\c\\n']);
    expect(() => commandWords('echo "half')).toThrow('not closed');
  });

  it('know the form of a real code, wrapped or not, and of nothing else', () => {
    const code = encodeInvite({
      ...{ team: '00'.repeat(16), inviterKey: Buffer.alloc(32, 1).toString('base64url'), fingerprint: '22'.repeat(32) },
      ...{ secret: new Uint8Array(16), expiresAt: now, urls: ['wss://127.0.0.1:7447'] },
    });
    expect(codeProblem(code)).toBeUndefined();
    expect(codeProblem(` ${code.slice(0, 60)}\n${code.slice(60)} `)).toBeUndefined();
    expect(bareCode(` a\n b `)).toBe('ab');
    for (const wrong of ['', 'hello', code.slice(0, 60), `${code}!`, code.slice(6)])
      expect(codeProblem(wrong)).toBeTruthy();
    expect([nameProblem('main'), nameProblem('-x') !== undefined]).toEqual([undefined, true]);
  });

  it('remember commands, the last first and each once', () => {
    expect(withCommand(['a', 'b'], 'b')).toEqual(['b', 'a']);
    expect(
      withCommand(
        Array.from({ length: 40 }, (_, i) => `${i}`),
        'x',
      ),
    ).toHaveLength(30);
    expect(remembered({ not: 'a list' })).toEqual([]);
  });

  it('take from a command only what they know', () => {
    expect(targetOf({ machine: 'm', session: 3, other: 1 })).toEqual({ machine: 'm' });
    expect([targetOf(undefined), targetOf('x'), targetOf(null)]).toEqual([{}, {}, {}]);
  });
});

describe('the way to the daemon', () => {
  it('is the one that the daemon itself takes', () => {
    const long = `/tmp/${'x'.repeat(120)}`;
    for (const home of ['/tmp/a', long]) {
      const address = daemonAddress('', { ...process.env, NIIA_HOME: home });
      expect(address).toEqual({ home, socket: new Home(home).socket('daemon') });
    }
    expect(daemonAddress('/set', { NIIA_HOME: '/env' }).home).toBe('/set');
    expect(daemonAddress('~/x', {}).home).toMatch(/^\/.+\/x$/);
    expect(daemonAddress('', {}).home).toMatch(/\/\.niia$/);
  });
});

describe('the niia that is started', () => {
  const finding = (given: Partial<Finding>, files: string[] = []): Finding => ({
    ...{ setting: '', bundled: '/ext/dist/niia.js', execPath: '/editor/node', electron: false, platform: 'linux' },
    ...{ env: { PATH: '/usr/bin:/opt' }, isFile: (path) => files.includes(path), nodeVersion: async () => 20 },
    ...given,
  });

  it('is the one that is set, then the one on the PATH, then the one brought along', async () => {
    const installed = ['/opt/niia', '/usr/bin/node'];
    expect(await findNiia(finding({ setting: '/my/niia' }, installed))).toMatchObject({ file: '/my/niia', args: [] });
    expect(await findNiia(finding({ setting: '/my/niia.js' }, installed))).toMatchObject({
      file: '/usr/bin/node',
      args: ['/my/niia.js'],
    });
    expect(await findNiia(finding({}, installed))).toMatchObject({ file: '/opt/niia', args: [] });
    expect(await findNiia(finding({}, ['/usr/bin/node']))).toMatchObject({
      file: '/usr/bin/node',
      args: ['/ext/dist/niia.js'],
    });
    expect(await findNiia(finding({ bundled: undefined }))).toBeUndefined();
  });

  it("runs on the editor's own Node where there is no other, or only one that is too old", async () => {
    const own = { file: '/editor/node', args: ['/ext/dist/niia.js'], env: {} };
    expect(await findNiia(finding({}))).toEqual(own);
    expect(await findNiia(finding({ nodeVersion: async () => 18 }, ['/usr/bin/node']))).toEqual(own);
    const electron = await findNiia(finding({ electron: true }));
    expect(electron).toEqual({ ...own, env: { ELECTRON_RUN_AS_NODE: '1' } });
  });

  it("does not take the editor's environment along", () => {
    const env = {
      PATH: '/bin',
      VSCODE_PID: '1',
      NODE_OPTIONS: '--inspect',
      ELECTRON_RUN_AS_NODE: '1',
      NIIA_HOME: '/old',
    };
    expect(daemonEnvironment(env, { file: 'f', args: [], env: {} }, '/home')).toEqual({
      PATH: '/bin',
      NIIA_HOME: '/home',
    });
  });
});
