import { execFile } from 'node:child_process';
import type { Check, Finding } from '../check.ts';
import { fail, pass, warn } from '../check.ts';

/** What became of loading one package with native parts, in a process of its own. */
export interface NativeFacts {
  name: string;
  works: boolean;
  /** The error's first line, or how the process ended. */
  why: string;
}

/** What goes without it. */
const uses: Readonly<Record<string, string>> = {
  'node-pty': 'no session can be started',
  'sodium-native': 'no link to another machine can be made',
  wrtc: 'no p2p path can be made; direct and gateway work',
};

export function judgeNative(facts: readonly NativeFacts[]): Finding {
  const broken = facts.filter((one) => !one.works);
  if (broken.length === 0) return pass(`${facts.map((one) => one.name).join(', ')} load and work`);
  const found = broken.map(({ name, why }) => `${name} does not work (${why}): ${uses[name] ?? ''}`).join('; ');
  const mend = 'npm rebuild in the folder of niia, or install niia anew for this platform';
  return broken.every((one) => one.name === 'wrtc') ? warn(found, mend) : fail(found, mend);
}

/** A trial of each, for a process that may crash of it. Packages are found as the product finds them, from its entry point. */
const trials: Readonly<Record<string, string>> = {
  'node-pty': `const pty = load('node-pty').spawn(process.execPath, ['-p', '6*7'], {}); let all = '';
    pty.onData((text) => (all += text)); pty.onExit(() => setTimeout(() => process.exit(all.includes('42') ? 0 : 9), 50));`,
  'sodium-native': `const s = load('sodium-native'); const out = Buffer.alloc(32); s.crypto_generichash(out, Buffer.from('x'));
    process.exit(out.some(Boolean) ? 0 : 9);`,
  wrtc: `const { RTCPeerConnection } = load('wrtc'); const peer = new RTCPeerConnection(); peer.createDataChannel('x');
    peer.createOffer().then(() => process.exit(0));`,
};

/** The longest a trial may take: processes start slowly on a busy machine. */
const trialMs = 12_000;

export const checkNative: Check = async ({ entry, signal }) =>
  judgeNative(await Promise.all(Object.keys(trials).map((name) => tryNative(name, entry, signal))));

export function tryNative(name: string, entry: string, signal: AbortSignal): Promise<NativeFacts> {
  const script = `const load = require('node:module').createRequire(process.argv[1]); ${trials[name]}`;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['-e', script, entry],
      { timeout: trialMs, killSignal: 'SIGKILL', signal, windowsHide: true },
      (error, _, stderr) => resolve({ name, works: error === null, why: error ? reason(error, stderr) : '' }),
    );
  });
}

function reason(
  error: Error & { signal?: string | null | undefined; killed?: boolean | undefined },
  stderr: string,
): string {
  if (error.killed) return `no end within ${trialMs / 1_000} s`;
  if (error.signal) return `its process crashed with ${error.signal}`;
  return /^(?:\w*Error.*|.*cannot open shared object.*)$/m.exec(stderr)?.[0] ?? 'it gave a wrong result';
}
