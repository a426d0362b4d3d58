/** What proc(5) tells in `/proc/PID/stat`. */
export interface ProcessStat {
  command: string;
  /** `R` running, `D` waiting for a disk, `S` sleeping, … */
  state: string;
  /** The process group in the foreground of its terminal. */
  foregroundGroup: number | undefined;
}

/** Undefined where it is no such line. */
export function parseStat(line: string): ProcessStat | undefined {
  // The command may hold anything, parentheses and blanks too.
  const open = line.indexOf('(');
  const close = line.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const [state = '', , , , , group] = line.slice(close + 2).split(' ');
  const foreground = Number(group);
  return {
    command: line.slice(open + 1, close),
    state,
    foregroundGroup: Number.isInteger(foreground) && foreground > 1 ? foreground : undefined,
  };
}

/** The words of `/proc/PID/cmdline`. */
export function parseCommandLine(text: string): string[] {
  return text.split('\0').filter((word, index, all) => word !== '' || index < all.length - 1);
}
