import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AiClis } from './install.mjs';

export type CliName = 'codex' | 'gemini' | 'claude';

/** How a test starts one CLI: in a home and a folder of its own, pointed at the model server. */
export interface CliSetup {
  argv: string[];
  env: Record<string, string>;
  /** A git repository. */
  cwd: string;
}

/** Any key will do: the model server asks for none. */
const key = 'sk-niia-test-0123456789abcdefghij';

/** Prepares `root` so that the CLI starts without a dialog and asks before it runs a command. */
export function prepareCli(name: CliName, root: string, clis: AiClis, modelUrl: string): CliSetup {
  const home = join(root, 'home');
  const cwd = join(root, 'repo');
  mkdirSync(home, { recursive: true });
  mkdirSync(cwd, { recursive: true });
  execFileSync('git', ['init', '-q', cwd]);
  const env = {
    HOME: home,
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LANG: 'C.UTF-8',
    TERM: 'xterm-256color',
    // Whatever else it would reach for is refused at once.
    HTTPS_PROXY: 'http://127.0.0.1:9',
    HTTP_PROXY: 'http://127.0.0.1:9',
    NO_PROXY: '127.0.0.1,localhost',
  };
  return { cwd, ...prepare[name]({ home, cwd, env, clis, modelUrl }) };
}

interface Place {
  home: string;
  cwd: string;
  env: Record<string, string>;
  clis: AiClis;
  modelUrl: string;
}

const prepare: Record<CliName, (place: Place) => Pick<CliSetup, 'argv' | 'env'>> = {
  codex({ home, cwd, env, clis, modelUrl }) {
    const toml = [
      'model = "scripted"',
      'model_provider = "scripted"',
      'approval_policy = "on-request"',
      'sandbox_mode = "workspace-write"',
      'check_for_update_on_startup = false',
      '[features]',
      'daemon_auto_start = false',
      'plugins = false',
      'apps = false',
      '[model_providers.scripted]',
      'name = "scripted"',
      `base_url = "${modelUrl}/v1"`,
      'wire_api = "responses"',
      'request_max_retries = 0',
      'stream_max_retries = 0',
      `[projects."${cwd}"]`,
      'trust_level = "trusted"',
    ];
    write(join(home, '.codex', 'config.toml'), `${toml.join('\n')}\n`);
    return { argv: [clis.codex], env };
  },

  gemini({ home, env, clis, modelUrl }) {
    const settings = {
      security: { auth: { selectedType: 'gemini-api-key' }, folderTrust: { enabled: false } },
      general: { enableAutoUpdate: false, enableAutoUpdateNotification: false },
      privacy: { usageStatisticsEnabled: false },
      model: { name: 'gemini-2.5-flash' },
    };
    write(join(home, '.gemini', 'settings.json'), JSON.stringify(settings));
    return {
      argv: [process.execPath, clis.gemini],
      env: { ...env, GEMINI_API_KEY: key, GOOGLE_GEMINI_BASE_URL: modelUrl },
    };
  },

  claude({ home, cwd, env, clis, modelUrl }) {
    if (clis.claude === undefined) throw new Error('claude is not installed: set NIIA_TEST_CLAUDE=1');
    const config = {
      hasCompletedOnboarding: true,
      customApiKeyResponses: { approved: [key.slice(-20)], rejected: [] },
      projects: { [cwd]: { hasTrustDialogAccepted: true } },
    };
    write(join(home, '.claude.json'), JSON.stringify(config));
    return {
      argv: [clis.claude, '--permission-mode', 'manual'],
      env: {
        ...env,
        ANTHROPIC_API_KEY: key,
        ANTHROPIC_BASE_URL: modelUrl,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
        // Else it tells its model of the tools of MCP servers only when that searches for them.
        ENABLE_TOOL_SEARCH: 'false',
        DISABLE_AUTOUPDATER: '1',
      },
    };
  },
};

function write(path: string, content: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
}
