import type { SessionState } from '../../shared/protocol/shapes.ts';

/** What is known about a session when its state is asked for. */
export interface Signs {
  ended: { exitCode: number | null; signal: string | null; lost: boolean } | undefined;
  outputBytes: number;
}

/** What a session is doing, and what that was concluded from. */
export function sessionState(signs: Signs): { state: SessionState; evidence: string } {
  const { ended } = signs;
  if (ended) {
    if (ended.lost) return { state: 'exited', evidence: 'the headless server ended while the session was running' };
    const how = ended.signal === null ? `exit code ${ended.exitCode}` : `signal ${ended.signal}`;
    return { state: 'exited', evidence: `its process ended with ${how}` };
  }
  if (signs.outputBytes === 0) return { state: 'starting', evidence: 'no output yet' };
  return { state: 'unknown', evidence: 'no evidence' };
}
