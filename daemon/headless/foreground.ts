import { readFileSync } from 'node:fs';
import type { Foreground } from '../workers/state/facts.ts';
import type { ProcessStat } from '../workers/state/process-facts.ts';
import { parseCommandLine, parseStat } from '../workers/state/process-facts.ts';
import { isInteractiveShell, programNames } from '../workers/state/program-name.ts';

/** The program in the foreground of the terminal whose first process is `root`. Undefined where the system does not tell. */
export function foregroundOf(root: number): Foreground | undefined {
  const first = statOf(root);
  const group = first?.foregroundGroup;
  if (group === undefined) return undefined;
  const leader = group === root ? first : statOf(group);
  // A leader that has ended leaves its group to others: of those nothing is known.
  const argv = leader ? commandLineOf(group) : [];
  const words = argv.length > 0 ? argv : [leader?.command ?? ''];
  return {
    group,
    names: programNames(words),
    isRoot: group === root,
    isShell: isInteractiveShell(words),
    running: leader?.state === 'R' || leader?.state === 'D',
  };
}

function statOf(pid: number): ProcessStat | undefined {
  const line = fromProc(`/proc/${pid}/stat`);
  return line === undefined ? undefined : parseStat(line);
}

function commandLineOf(pid: number): string[] {
  return parseCommandLine(fromProc(`/proc/${pid}/cmdline`) ?? '');
}

/** Undefined where there is no such file, or no such system: a process may end at any moment, and may be another user's. */
function fromProc(path: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
