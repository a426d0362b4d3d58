/** What is kept of sessions that have ended. */
export interface KeepLimits {
  /** How many. */
  sessions: number;
  /** Bytes of all of them together. */
  bytes: number;
  /** How long, milliseconds. */
  ageMs: number;
}

export const usualLimits: KeepLimits = { sessions: 100, bytes: 2 ** 31, ageMs: 7 * 86_400_000 };

export interface EndedSession {
  endedAt: number;
  bytes: number;
}

/** Those that go, the oldest first: what is too old, and what is too many or too much beside newer ones. Pure. */
export function tooMuch<S extends EndedSession>(ended: readonly S[], now: number, limits: KeepLimits): S[] {
  const newestFirst = [...ended].sort((a, b) => b.endedAt - a.endedAt);
  let bytes = 0;
  let full = false;
  const out = newestFirst.filter((session, index) => {
    bytes += session.bytes;
    // The newest stays, however large it is.
    full ||= index > 0 && (index >= limits.sessions || bytes > limits.bytes);
    return full || session.endedAt < now - limits.ageMs;
  });
  return out.reverse();
}
