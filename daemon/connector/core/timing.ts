/** Milliseconds, on clocks that count sleep. */
export interface ReplicaTiming {
  heartbeatMs: number;
  /** A voter that heard a leader gives no vote for the first of these; it asks for votes itself after a time between them. */
  electionMs: readonly [number, number];
  /**
   * A leader that a majority has not answered what it sent within this time leads no longer. Shorter than the first of
   * `electionMs` by more than clocks run apart: so there is never another leader while one may still act as such.
   */
  leaseMs: number;
}

export const usualTiming: ReplicaTiming = { heartbeatMs: 1_000, electionMs: [8_000, 12_000], leaseMs: 6_000 };
