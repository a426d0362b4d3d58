import * as v from 'valibot';
import type { PtyExit } from './pty.ts';

/** What it takes to start a session again: `restore.json` in its folder, for as long as it may be needed. */
export const restorePlanSchema = v.object({
  /** Variables that were asked for. */
  given: v.record(v.string(), v.string()),
  /** All that the session was started with. */
  environment: v.record(v.string(), v.string()),
});
export type RestorePlan = v.InferOutput<typeof restorePlanSchema>;

/** A process that a shutdown ended may end this long before the server hears of the shutdown. */
export const graceMs = 3_000;

/** Variables that name things of one boot or one login: after another they are wrong, or somebody else's. */
const ofTheMoment = new Set(
  (
    'DISPLAY WAYLAND_DISPLAY XAUTHORITY SSH_AUTH_SOCK SSH_AGENT_PID SSH_CLIENT SSH_CONNECTION SSH_TTY GPG_AGENT_INFO ' +
    'DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR XDG_SESSION_ID XDG_SEAT XDG_VTNR INVOCATION_ID JOURNAL_STREAM ' +
    'SYSTEMD_EXEC_PID NOTIFY_SOCKET LISTEN_FDS LISTEN_PID WINDOWID'
  ).split(' '),
);

/** What a session that is started again gets beside what was asked for: as before, but for what belongs to one start. */
export function environmentAgain(
  { environment }: RestorePlan,
  present: Readonly<Record<string, string>>,
): Record<string, string> {
  const lasting = Object.entries(environment).filter(([name]) => !ofTheMoment.has(name));
  const now = Object.entries(present).filter(([name]) => ofTheMoment.has(name));
  return Object.fromEntries([...lasting, ...now]);
}

/** Whether it ended as processes do that a shutdown ends: by a signal, or by what shells make of one. */
export function endedAsByShutdown({ exitCode, signal }: PtyExit): boolean {
  const codes = [128 + 1, 128 + 15];
  return signal === 'SIGTERM' || signal === 'SIGHUP' || (exitCode !== null && codes.includes(exitCode));
}

/** The first line of the new session. */
export function restoreNote(before: string): Uint8Array {
  return Buffer.from(`\x1b[2m[niia: this is ${before} started again; its headless server had ended]\x1b[0m\r\n`);
}
