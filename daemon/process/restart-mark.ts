/** Set in the environment of a daemon that takes the place of one that crashed. */
export const restartMark = 'NIIA_RESTART';

/** Whether this process is such a one. The processes that it starts are not. */
export function takeRestartMark(): boolean {
  const marked = process.env[restartMark] !== undefined;
  delete process.env[restartMark];
  return marked;
}
