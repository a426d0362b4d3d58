import type { KnownState } from './state-tracking.ts';

export interface End {
  exitCode: number | null;
  signal: string | null;
  /** The server ended before the session did. */
  lost: boolean;
  endedAt: string | null;
}

/** The state of a session that has ended. */
export function endedState({ exitCode, signal, lost, endedAt }: End): KnownState {
  const how = signal === null ? `exit code ${exitCode}` : `signal ${signal}`;
  const evidence = lost ? 'the headless server ended while the session was running' : `its process ended with ${how}`;
  return { state: 'exited', evidence, stateEvidence: null, stateSince: endedAt ?? '' };
}
