import { describe, expect, it } from 'vitest';
import { authorizeSession } from '../../../daemon/core/session-rights.ts';
import type { Config } from '../../../daemon/home/config.ts';
import { checkPolicy, policyFor } from '../../../daemon/workers/approvals/policy.ts';
import { workerStart } from '../../../daemon/workers/drivers/start.ts';
import { methods } from '../../../shared/protocol/methods.ts';
import type { ApprovalPolicy } from '../../../shared/protocol/policy-methods.ts';
import type { Question } from '../../../shared/protocol/worker-methods.ts';

const policy = (effect: 'allow' | 'deny', pattern: string, more: Partial<ApprovalPolicy> = {}): ApprovalPolicy => ({
  ...{ name: `${effect}-it`, effect, pattern, about: 'command', session: null, worker: null },
  ...more,
});
const question = (command: string | null): Question => ({
  ...{ id: 'q', session: 'local-1', machine: 'm', sessionName: 'build', worker: 'codex', question: 'May I?' },
  ...{ command, options: [], since: '' },
});

describe('policies of approval', () => {
  it('allow what is matched as a whole, and nothing that merely holds it [WORK-8]', () => {
    const policies = [policy('allow', 'npm (test|run lint)')];
    expect(policyFor(question('npm test'), policies)?.effect).toBe('allow');
    for (const command of ['npm test && rm -rf /', 'npm test\nrm x', 'npm test …', 'sudo npm test', null]) {
      expect(policyFor(question(command), policies)).toBeUndefined();
    }
  });

  it.each(['git diff [^;&|]*', 'git\\sdiff[\\s\\S]*'])(
    'allow no command of several lines, although %s would match it [WORK-8]',
    (pattern) => {
      const policies = [policy('allow', pattern)];
      expect(policyFor(question('git diff x'), policies)?.effect).toBe('allow');
      for (const end of ['\n', '\r', '\u2028', '\v']) {
        expect(policyFor(question(`git diff x${end}rm -rf ~`), policies)).toBeUndefined();
        expect(policyFor(question(`git diff x${end}rm -rf ~`), [policy('deny', 'rm -rf')])?.effect).toBe('deny');
      }
    },
  );

  it('deny before they allow, and by a part', () => {
    const policies = [policy('allow', '.*'), policy('deny', 'rm -rf')];
    expect(policyFor(question('cd / && rm -rf x'), policies)?.effect).toBe('deny');
  });

  it('hold for the session and the worker that they name', () => {
    expect(policyFor(question('ls'), [policy('allow', 'ls', { session: 'other' })])).toBeUndefined();
    expect(policyFor(question('ls'), [policy('allow', 'ls', { session: 'build', worker: 'codex' })])).toBeDefined();
    expect(policyFor(question('ls'), [policy('allow', 'ls', { worker: 'claude' })])).toBeUndefined();
  });

  it('are refused where their pattern is none', () => {
    expect(() => checkPolicy(policy('allow', '('))).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

describe("what is served on a session's own socket", () => {
  const config: Config = {
    ...{ labels: {}, ask: 'admin', workers: 'prompt', direct: 'on', p2p: 'on', lan: 'on' },
    ...{ guard: 'on', wake: {}, disk: 2 ** 31, keepSessions: 100 },
  };
  const may = (method: keyof typeof methods, params: unknown = {}, workers: 'see' | 'prompt' = 'prompt'): boolean => {
    try {
      authorizeSession(method, params, 'local-1', { ...config, workers });
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'denied' });
      return false;
    }
  };

  it('is to see and to prompt, and never to approve, type, start or set [WORK-7]', () => {
    const served = (Object.keys(methods) as Array<keyof typeof methods>).filter((method) =>
      may(method, { session: 'local-1' }),
    );
    expect(served.sort()).toEqual(
      [
        ...['daemon.status', 'headless.info', 'machine.list', 'machine.watch', 'session.answer', 'session.approvals'],
        ...['session.explain', 'session.list', 'session.prompt', 'session.read', 'session.report', 'session.tail'],
        ...['session.wait', 'session.watch', 'team.show'],
      ].sort(),
    );
    expect(may('session.prompt', {}, 'see')).toBe(false);
    expect(may('session.attach', { readOnly: true })).toBe(true);
    expect(may('session.attach', { readOnly: true, create: true })).toBe(false);
    expect(may('session.report', { session: 'local-2' })).toBe(false);
  });
});

describe('starting a worker', () => {
  it('adds what makes it ask, unless the user says otherwise', () => {
    expect(workerStart('codex', ['-m', 'x'])?.argv.join(' ')).toMatch(/^codex .*--ask-for-approval on-request -m x$/);
    expect(workerStart('codex', ['-a', 'never'])?.argv).not.toContain('--ask-for-approval');
    expect(workerStart('claude', ['--permission-mode=plan'])?.argv).toEqual(['claude', '--permission-mode=plan']);
    expect(workerStart('gemini', [])?.argv).toEqual(['gemini', '--approval-mode', 'default']);
  });

  it('tells it of an MCP server in its own way, and refuses where there is none', () => {
    const server = { name: 'niia', command: '/a "b"/node', args: ['x', 'mcp'], variables: ['NIIA_HOME'] };
    expect(workerStart('codex', ['y'], server)?.argv.slice(-7)).toEqual([
      ...['-c', 'mcp_servers.niia.command="/a \\"b\\"/node"', '-c', 'mcp_servers.niia.args=["x","mcp"]'],
      ...['-c', 'mcp_servers.niia.env_vars=["NIIA_HOME"]', 'y'],
    ]);
    expect(workerStart('claude', [], server)?.argv.at(-2)).toBe('--mcp-config');
    expect(() => workerStart('gemini', [], server)).toThrow(
      expect.objectContaining({ code: 'usage', hint: expect.stringMatching(/gemini mcp add .*niia mcp/) }),
    );
    expect(() => workerStart('shell', [], server)).toThrow(/MCP/);
  });

  it('takes the words as they stand for everything else, of which some need them', () => {
    expect(workerStart('shell', [])).toBeUndefined();
    expect(workerStart('exec', ['wc', '-l'])).toBeUndefined();
    expect(() => workerStart('exec', [])).toThrow(/needs a command/);
    expect(() => workerStart('codx', [])).toThrow(/knows: claude, codex, gemini/);
    expect(workerStart('mine', ['my-agent'])).toBeUndefined();
  });
});
