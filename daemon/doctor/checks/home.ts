import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../home/files.ts';
import type { Check, Finding } from '../check.ts';
import { fail, pass, quote, warn } from '../check.ts';

export interface FileFacts {
  path: string;
  mode: number;
  uid: number;
}

export interface HomeFacts {
  root: string;
  /** This process' user. */
  uid: number;
  /** Undefined where there is nothing at the path. */
  home: (FileFacts & { isFolder: boolean; usable: boolean }) | undefined;
}

export function judgeHome({ root, uid, home }: HomeFacts): Finding {
  const path = quote(root);
  if (!home) return warn(`${root} is not there yet`, 'niia up');
  if (!home.isFolder) return fail(`${root} is not a folder`, 'Move it away, or name another home with NIIA_HOME');
  if (home.uid !== uid)
    return fail(`${root} belongs to another user (uid ${home.uid})`, `sudo chown -R ${uid} ${path}`);
  if (!home.usable) return fail(`${root} cannot be read or written`, `chmod u+rwx ${path}`);
  if ((home.mode & 0o077) !== 0) return fail(`${root} is open to others (${octal(home.mode)})`, `chmod 700 ${path}`);
  return pass(`${root}, private`);
}

/** What others may not read, and what must be this user's. */
export function judgePermissions(uid: number, files: readonly FileFacts[]): Finding {
  const foreign = files.filter((file) => file.uid !== uid);
  const open = files.filter((file) => (file.mode & 0o077) !== 0);
  if (foreign[0]) {
    const paths = foreign.map((file) => quote(file.path)).slice(0, 20);
    return fail(`${foreign[0].path} belongs to another user${more(foreign)}`, `sudo chown ${uid} ${paths.join(' ')}`);
  }
  if (open[0]) {
    const paths = open.map((file) => quote(file.path)).slice(0, 20);
    return fail(
      `${open[0].path} is open to others (${octal(open[0].mode)})${more(open)}`,
      `chmod go= ${paths.join(' ')}`,
    );
  }
  return pass(`${files.length} files, private`);
}

function more(files: readonly FileFacts[]): string {
  return files.length > 1 ? `, and ${files.length - 1} more` : '';
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(3, '0');
}

const uidHere = (): number => process.getuid?.() ?? 0;

export const checkHome: Check = ({ home: { root } }) => {
  const stat = statSync(root, { throwIfNoEntry: false });
  const home = stat && {
    path: root,
    // Windows has no such modes.
    mode: process.platform === 'win32' ? 0o700 : stat.mode,
    uid: process.platform === 'win32' ? uidHere() : stat.uid,
    isFolder: stat.isDirectory(),
    usable: isUsable(root),
  };
  return Promise.resolve(judgeHome({ root, uid: uidHere(), home }));
};

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}

/** More than a home has beside its sessions. */
const mostFiles = 2_000;

export const checkPermissions: Check = ({ home }) => {
  if (process.platform === 'win32') return Promise.resolve(pass('the account’s own, by Windows’ rules'));
  const files: FileFacts[] = [];
  const folders = [home.root];
  for (let folder = folders.shift(); folder !== undefined && files.length < mostFiles; folder = folders.shift()) {
    for (const name of namesIn(folder)) {
      const path = join(folder, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (!stat) continue;
      // What upgrades unpack is the product, which is no secret.
      if (stat.isDirectory() && name !== 'versions') folders.push(path);
      if (stat.isFile()) files.push({ path, mode: stat.mode, uid: stat.uid });
    }
  }
  return Promise.resolve(judgePermissions(uidHere(), files));
};

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
