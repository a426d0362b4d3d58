import { type Browser, chromium } from 'playwright-core';
import { ensureDebianPackages } from '../setup/debian.mjs';

/** Nothing here may reach out, ask a question or want a sandbox that a container does not have. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A headless Chromium; `env` is added to its environment. */
export async function launchBrowser(env: Readonly<Record<string, string>>): Promise<Browser> {
  const { chromium: executablePath } = await ensureDebianPackages(['chromium']);
  return chromium.launch({ executablePath: executablePath!, args: FLAGS, env: { ...process.env, ...env } });
}
