/** Name of a session's own local socket. */
export function sessionSocketName(session: string): string {
  return `worker-${session}`;
}
