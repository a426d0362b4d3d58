import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { NiiaError } from '../shared/errors.ts';
import { expandHome } from './daemon-connection.ts';
import type { Launch } from './find-niia.ts';
import { daemonEnvironment, findNiia } from './find-niia.ts';
import type { Log } from './log.ts';

/** A first start makes keys and a certificate; one that takes longer has gone wrong somewhere. */
const startTimeoutMs = 60_000;
const errorSchema = v.object({ error: v.unknown() });

export interface StartOptions {
  home: string;
  /** The setting `niia.command`. */
  command: string;
  /** The extension's own niia. */
  bundled: string;
  log: Log;
}

/** Runs `niia up` for this home: returns once its daemon answers, and rejects with what `niia` says. */
export async function startNiia({ home, command, bundled, log }: StartOptions): Promise<void> {
  const launch = await findNiia({
    setting: expandHome(command.trim()),
    bundled: existsSync(bundled) ? bundled : undefined,
    execPath: process.execPath,
    electron: 'electron' in process.versions,
    env: process.env,
    platform: process.platform,
    isFile,
    nodeVersion,
  });
  if (!launch) {
    throw new NiiaError(
      'usage',
      'niia was not found on this machine',
      'Install it, or name it in the setting niia.command.',
    );
  }
  log.info(`starting the daemon of ${home}: ${[launch.file, ...launch.args].join(' ')} up`);
  await up(launch, home);
}

async function up(launch: Launch, home: string): Promise<void> {
  const env = daemonEnvironment(process.env, launch, home);
  try {
    await promisify(execFile)(launch.file, [...launch.args, 'up', '--json'], {
      env,
      timeout: startTimeoutMs,
      windowsHide: true,
      // A script for the command prompt needs one.
      shell: /[.](cmd|bat)$/i.test(launch.file),
    });
  } catch (cause) {
    throw whyNot(launch, cause);
  }
}

function whyNot({ file }: Launch, cause: unknown): NiiaError {
  const said = cause instanceof Error && 'stderr' in cause && typeof cause.stderr === 'string' ? cause.stderr : '';
  const last = said.trim().split('\n').at(-1) ?? '';
  if (last.startsWith('{')) {
    try {
      const parsed = v.safeParse(errorSchema, JSON.parse(last));
      if (parsed.success) return NiiaError.fromWire(parsed.output.error);
    } catch (error) {
      // What merely looks like JSON is shown as it is.
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  const why = last || (cause instanceof Error ? cause.message : String(cause));
  return new NiiaError('failed', `${file} up failed: ${why}`, undefined, { cause });
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

async function nodeVersion(file: string): Promise<number | undefined> {
  try {
    const { stdout } = await promisify(execFile)(file, ['--version'], { timeout: 10_000 });
    return Number(/^v(\d+)[.]/.exec(stdout)?.[1]) || undefined;
  } catch (error) {
    // It is on the PATH and does not run: as good as none.
    if (error instanceof Error) return undefined;
    throw error;
  }
}
