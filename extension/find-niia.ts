import { delimiter, join } from 'node:path';

/** What runs niia: a program, the words before niia's own, and what its environment needs. */
export interface Launch {
  file: string;
  args: string[];
  env: Record<string, string>;
}

export interface Finding {
  /** The setting `niia.command`: a program, or a script for Node. */
  setting: string;
  /** The script that the extension brings along; undefined where it brings none. */
  bundled: string | undefined;
  /** The program that this window's extensions run in. */
  execPath: string;
  /** Whether that one is an Electron, which is Node only when told so. */
  electron: boolean;
  env: Readonly<Record<string, string | undefined>>;
  platform: string;
  isFile: (path: string) => boolean;
  /** Major version of a Node; undefined where it is none. */
  nodeVersion: (file: string) => Promise<number | undefined>;
}

const oldestNode = 20;

/** The niia to start: the one set, else the one on the PATH, else the one brought along; undefined where there is none. */
export async function findNiia(finding: Finding): Promise<Launch | undefined> {
  const { setting, bundled } = finding;
  if (setting)
    return /[.][cm]?js$/.test(setting) ? await byNode(finding, setting) : { file: setting, args: [], env: {} };
  const installed = onPath(finding, 'niia');
  if (installed) return { file: installed, args: [], env: {} };
  return bundled === undefined ? undefined : await byNode(finding, bundled);
}

/** The Node on the PATH, where it is recent enough; else the editor's own. */
async function byNode(finding: Finding, script: string): Promise<Launch> {
  const node = onPath(finding, 'node');
  if (node && ((await finding.nodeVersion(node)) ?? 0) >= oldestNode) return { file: node, args: [script], env: {} };
  const env: Record<string, string> = finding.electron ? { ELECTRON_RUN_AS_NODE: '1' } : {};
  return { file: finding.execPath, args: [script], env };
}

function onPath({ env, platform, isFile }: Finding, name: string): string | undefined {
  const windows = platform === 'win32';
  const endings = windows ? (env['PATHEXT'] ?? '.EXE;.CMD').split(';') : [''];
  const folders = (env['PATH'] ?? env['Path'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.flatMap((folder) => endings.map((ending) => join(folder, name + ending))).find(isFile);
}

/** What belongs to the editor's own processes and would follow the daemon into every session. */
const editorsOwn = /^(VSCODE_|ELECTRON_|CHROME_|APPLICATION_INSIGHTS|NODE_OPTIONS$|GDK_BACKEND$)/;

/** The environment for the daemon of `home`: the user's, without what describes the editor. */
export function daemonEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  launch: Launch,
  home: string,
): Record<string, string | undefined> {
  const kept = Object.entries(env).filter(([key]) => !editorsOwn.test(key));
  return { ...Object.fromEntries(kept), ...launch.env, NIIA_HOME: home };
}
