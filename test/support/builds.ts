import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { node } from './machine.ts';

/** What runs in a broken build when the daemon starts, or the headless server. */
export type Breakage = { command: 'daemon' | 'headless'; code: string };

/** Installations of other versions, made from the present sources, with the repository's packages. */
export class Builds {
  readonly #folder: string;

  /** `folder`: removed by the caller. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Builds `version`; the entry point. */
  make(version: string): string {
    const root = this.#root(version);
    const { status, stderr } = spawnSync(
      process.execPath,
      ['esbuild.mjs', '--out', join(root, 'dist'), '--version', version, '--small'],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`the build of ${version} failed: ${stderr}`);
    return join(root, 'dist', 'niia.js');
  }

  /** A copy of a build that goes wrong; the entry point. */
  breakIt(entry: string, name: string, { command, code }: Breakage): string {
    const root = this.#root(name);
    cpSync(resolve(entry, '..'), join(root, 'dist'), { recursive: true });
    const broken = join(root, 'dist', 'niia.js');
    const [shebang = '', ...lines] = readFileSync(broken, 'utf8').split('\n');
    writeFileSync(broken, [shebang, `if (process.argv[2] === '${command}') { ${code} }`, ...lines].join('\n'));
    return broken;
  }

  /** Packs an installation as its own command does. */
  bundle(entry: string, home: string, ...flags: string[]): string {
    const out = join(this.#folder, `${Math.random().toString(36).slice(2)}.niiabundle`);
    const { status, stderr } = spawnSync(node, [entry, 'bundle', '--out', out, ...flags], {
      encoding: 'utf8',
      env: { ...process.env, NIIA_HOME: home },
    });
    if (status !== 0) throw new Error(`no bundle of ${entry}: ${stderr}`);
    return out;
  }

  #root(name: string): string {
    const root = join(this.#folder, `build-${name}`);
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root, { recursive: true });
    cpSync('package.json', join(root, 'package.json'));
    symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
    return root;
  }
}
