import * as v from 'valibot';

const most = 30;

/** Commands that were asked before, the last one first, from what was stored. */
export function remembered(stored: unknown): string[] {
  const parsed = v.safeParse(v.array(v.string()), stored);
  return parsed.success ? parsed.output : [];
}

export function withCommand(history: readonly string[], command: string): string[] {
  return [command, ...history.filter((one) => one !== command)].slice(0, most);
}
