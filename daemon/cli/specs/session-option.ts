/** `--session`, alike wherever a command has it. */
export const sessionOption = {
  kind: 'text',
  value: 'S',
  help: 'its id, its name, or MACHINE/ID',
  completes: { from: 'sessions' },
} as const;

/** What commands do without it. */
export const defaultSession =
  'Without --session: the session named main; else the only live one; else an error that lists the sessions.';
