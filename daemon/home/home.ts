import { createHash } from 'node:crypto';
import { accessSync, chmodSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { NiiaError } from '../../shared/errors.ts';
import { socketPath } from '../../shared/home/socket-path.ts';
import { isErrno } from './files.ts';

/** The folder that holds everything of one machine. */
export class Home {
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  /** The home that the environment names: `NIIA_HOME`, else `~/.niia`. */
  static fromEnvironment(env: NodeJS.ProcessEnv = process.env): Home {
    return new Home(env['NIIA_HOME'] || join(homedir(), '.niia'));
  }

  /** Makes the folder where it is missing, private to its user. Throws `io` with a way out where it cannot be used. */
  prepare(): void {
    try {
      makeFolder(this.root);
      const mode = statSync(this.root).mode & 0o777;
      if (process.platform !== 'win32' && (mode & 0o077) !== 0) chmodSync(this.root, 0o700);
      accessSync(this.root, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (cause) {
      throw new NiiaError(
        'io',
        `the home ${this.root} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
        'Make it a folder that you own, or name another with NIIA_HOME.',
        { cause },
      );
    }
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  /** A folder in the home, made where it is missing. */
  folder(...parts: string[]): string {
    const folder = this.path(...parts);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** What keeps it apart from other homes in places outside of it. */
  get hash(): string {
    return createHash('sha256').update(this.root).digest('hex').slice(0, 12);
  }

  /** Address of the local socket `name` (`daemon`, `headless-…`). */
  socket(name: string): string {
    const path = socketPath(
      {
        home: this.root,
        platform: process.platform,
        runtimeDir: process.env['XDG_RUNTIME_DIR'] || undefined,
        tmpDir: tmpdir(),
        homeHash: this.hash,
      },
      name,
    );
    if (process.platform !== 'win32' && !path.startsWith(this.root)) {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    }
    return path;
  }
}

/** Makes a folder and those above it. (Node's own recursive mkdir does not return for a path below /proc.) */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process was quicker.
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}
