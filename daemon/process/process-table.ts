import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** A process as the system tells of it. */
export interface ProcessEntry {
  pid: number;
  parent: number;
  /** Process id of the first of its session (setsid(2)); 0 where the system does not tell. */
  session: number;
  group: number;
  /** `R` running, `S` sleeping, `T` stopped, `Z` a zombie, … */
  state: string;
  /** Tells it from a later process with its id; empty where the system does not say. */
  start: string;
}

/** All processes that live now: zombies are none. Empty on Windows. */
export function processTable(): ProcessEntry[] {
  if (process.platform === 'win32') return [];
  return process.platform === 'linux' ? linuxTable() : psTable();
}

function linuxTable(): ProcessEntry[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const stat = ofProcess(Number(name), 'stat');
    const entry = stat === undefined ? undefined : parsed(Number(name), stat);
    return entry && entry.state !== 'Z' && entry.state !== 'X' ? [entry] : [];
  });
}

/** proc(5), `/proc/PID/stat`: the second field is the command in parentheses and may hold anything. */
function parsed(pid: number, stat: string): ProcessEntry | undefined {
  const close = stat.lastIndexOf(')');
  if (close < 0) return undefined;
  const fields = stat.slice(close + 2).split(' ');
  const [state = '', parent, group, session] = fields;
  return {
    pid,
    state,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    start: fields[19] ?? '',
  };
}

/** ps(1) of macOS and the BSDs, whose `sess` is no process id everywhere. */
function psTable(): ProcessEntry[] {
  const text = execFileSync('ps', ['-axo', 'pid=,ppid=,pgid=,stat='], { encoding: 'utf8' });
  return text.split('\n').flatMap((line) => {
    const [pid, parent, group, state = ''] = line.trim().split(/\s+/);
    if (!pid || state.startsWith('Z')) return [];
    const numbers = { pid: Number(pid), parent: Number(parent), group: Number(group) };
    return [{ ...numbers, session: 0, state: state.slice(0, 1), start: '' }];
  });
}

/** Whether the process was started with these variables in its environment, or inherited them; false where it cannot be seen. */
export function hasVariables(pid: number, variables: Readonly<Record<string, string>>): boolean {
  if (process.platform !== 'linux') return false;
  const environment = ofProcess(pid, 'environ')?.split('\0');
  if (!environment) return false;
  // As the bytes are: the file is read as such.
  return Object.entries(variables).every(([name, value]) =>
    environment.includes(Buffer.from(`${name}=${value}`).toString('latin1')),
  );
}

/** A file of proc(5) about a process: undefined where it has ended, or is another user's. */
export function ofProcess(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return undefined;
  }
}
