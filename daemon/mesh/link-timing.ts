import { limits } from '../../shared/protocol/limits.ts';

/** Times of a link, in milliseconds of a clock that never goes back. */
export const linkTiming = {
  /** Between pings on the active path while the link is in use, and on a path that is new. */
  pingMs: 500,
  /** Between pings on a standby path while the link is in use, so that it is known to work when it is needed. */
  standbyPingMs: 1_000,
  /** Between pings on a link that nobody uses. */
  idlePingMs: 5_000,
  /** A link counts as in use this long after the last message either way. */
  usedMs: 10_000,
  /** A path from which nothing came for this long, although it was asked, is silent. */
  silentMs: 1_500,
  /** A path that answers no ping for this long, although things come from it, works one way only. */
  unprovedMs: 1_900,
  /** A path that has not answered a ping for this long is not moved to, while another one has. */
  doubtMs: 400,
  /** Unacknowledged data without progress for this long: the path is left. */
  stallMs: 1_800,
  /** Between two acknowledgements, while less than `ackEvery` comes. The first after a pause goes at once. */
  ackMs: 5,
  /** A resend on request is not repeated sooner. */
  resendMs: 50,
  /** A path must have worked this long before a working one is left for it. */
  wellMs: 1_000,
  /** Time between two moves that were not forced. */
  dwellMs: 3_000,
  /** A failing path is avoided for twice as long after each failure, from the first of these to the second. */
  penaltyMs: 2_000,
  longestPenaltyMs: 60_000,
  /** When no path has worked for this long, that is nobody's failure. */
  outageMs: 3_000,
  /** Data has to wait for this long before a path is judged by how fast it delivers. */
  crawlMs: 2_500,
  /** A path that delivered too slowly is avoided; doubled each time, from the first of these to the second. */
  slowPenaltyMs: 15_000,
  longestSlowPenaltyMs: 600_000,
  /** How long a measured rate is believed. */
  rateMs: 600_000,
  /** p2p and direct paths that were silent this long are closed, so that they are dialled again. */
  abandonMs: 30_000,
  /** Of two p2p or two direct paths that both worked this long, one is closed. */
  duplicateMs: 2_000,
  /** p2p and direct paths over which nothing authentic ever came are closed after this long. */
  strangeMs: 10_000,
  /** First and longest wait before a handshake message is repeated. */
  retryMs: 300,
  longestRetryMs: 5_000,
  /** From the end of the handshake to the open link; also how long an unconfirmed session is remembered. */
  admissionMs: 30_000,
  /** Waits after links that ended soon after they began, and after a refusal. Each doubles up to the next. */
  backoffMs: 500,
  longestBackoffMs: 60_000,
  refusedMs: 30_000,
  longestRefusedMs: 600_000,
  /** A link that heard nothing for this long is given up. */
  dropMs: 24 * 3_600_000,
  /** A machine that is this late for its own deadline was asleep, and what it missed says nothing about the paths. */
  sleptMs: 1_000,
} as const;
export type LinkTiming = { readonly [K in keyof typeof linkTiming]: number };

/** Sizes of a link, in bytes where nothing else is said. */
export const linkLimits = {
  /** Plaintext of one data frame at most: with its header it fits one relay message. */
  fragment: 60 << 10,
  /** And at least, where more of its message follows: pieces cost memory of their own. */
  leastFragment: 1 << 10,
  /** Sent and not yet acknowledged: at most, at least, and at the start on a path. */
  window: 1 << 20,
  leastWindow: 16 << 10,
  firstWindow: 32 << 10,
  /** Written and not yet sent, at most: what waits here cannot be overtaken by anything more urgent. */
  unsent: 64 << 10,
  /** Received since the last acknowledgement: from a sender with short and with long frames. */
  ackLeast: 4 << 10,
  ackEvery: 32 << 10,
  message: limits.message,
  /**
   * What may come over one path in a second: frames that are malformed, forged, replayed or of a handshake, then control
   * frames of any kind, before the path is closed; and pings that are answered.
   */
  offences: 200,
  controls: 5_000,
  pongs: 50,
  /** Paths of one link. */
  paths: 8,
  /** A roster in transit, and all that a stranger may send. */
  roster: 2 << 20,
  /** Frames under one key. */
  framesPerKey: 2 ** 20,
} as const;
