// Real AI command-line workers from the npm registry, for tests: the versions that the rules were written from.

import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensureCached, npmStep } from '../setup/cached-install.mjs';

const CODEX = '0.169.0';
const GEMINI = '0.61.0';
/** Its licence is its own: it is installed for those only who ask for it (`NIIA_TEST_CLAUDE=1`). */
const CLAUDE = '2.1.330';

/**
 * @typedef {object} AiClis
 * @property {string} codex program
 * @property {string} gemini script for Node
 * @property {string | undefined} claude program
 */

/**
 * Makes sure that the CLIs are in the cache; a few milliseconds where they are. No install script runs.
 * @returns {Promise<AiClis>}
 */
export async function ensureAiClis() {
  const root = await ensureCached(`ai-cli-codex${CODEX}-gemini${GEMINI}`, (work) =>
    npmStep('codex and gemini', work, [
      ...['install', '--ignore-scripts', '--no-save', '--save-exact'],
      `codex-bin@npm:@openai/codex@${CODEX}-linux-x64`,
      `@google/gemini-cli@${GEMINI}`,
    ]),
  );
  return {
    codex: path.join(root, 'node_modules/codex-bin/vendor/x86_64-unknown-linux-musl/bin/codex'),
    gemini: path.join(root, 'node_modules/@google/gemini-cli/bundle/gemini.js'),
    claude: process.env.NIIA_TEST_CLAUDE === '1' ? await ensureClaude() : undefined,
  };
}

async function ensureClaude() {
  const root = await ensureCached(`ai-cli-claude${CLAUDE}`, (work) =>
    npmStep('claude', work, [
      ...['install', '--ignore-scripts', '--no-save', '--save-exact'],
      `@anthropic-ai/claude-code-linux-x64@${CLAUDE}`,
    ]),
  );
  return path.join(root, 'node_modules/@anthropic-ai/claude-code-linux-x64/claude');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.stdout.write(`${JSON.stringify(await ensureAiClis(), null, 2)}\n`);
}
