export interface HeartbeatTimes {
  /** How often `tick` is called. */
  tickMs: number;
  /** A ping goes out this long after the one before, once that was answered. */
  pingMs: number;
  /** Silence for this long ends the connection. */
  deadMs: number;
}

/** With these a gateway that fell silent is noticed within 1.5 to 1.75 s. */
export const heartbeatTimes: HeartbeatTimes = { tickMs: 250, pingMs: 500, deadMs: 1_500 };

/** A tick that is this late means that this process stood still: it has no right to blame the other side. */
const suspendedMs = 1_000;

/**
 * Notices a silent peer and measures the round trip. Pure: times are milliseconds of a clock that never goes back.
 * Silence counts while this process runs: time in which it was suspended or busy counts as two ticks at most.
 */
export class Heartbeat {
  readonly #times: HeartbeatTimes;
  #silence = 0;
  #lastTick: number;
  #pingedAt: number | undefined;
  #nextPing: number;
  #token = 0;
  #outstanding: number | undefined;
  #rttMs: number | null = null;

  constructor(now: number, times: HeartbeatTimes = heartbeatTimes) {
    this.#times = times;
    this.#lastTick = now;
    this.#nextPing = now;
  }

  /** Round trip, smoothed, in milliseconds; null before the first answer. */
  get rttMs(): number | null {
    return this.#rttMs;
  }

  /** Any message came. */
  heard(): void {
    this.#silence = 0;
  }

  pong(token: number, now: number): void {
    if (token !== this.#outstanding || this.#pingedAt === undefined) return;
    this.#outstanding = undefined;
    const sample = now - this.#pingedAt;
    const smoothed = this.#rttMs === null ? sample : this.#rttMs + (sample - this.#rttMs) / 4;
    this.#rttMs = Math.round(smoothed * 1000) / 1000;
  }

  /** What to do now: send a ping with this token, give the connection up, or nothing. */
  tick(now: number): { ping: number } | 'dead' | undefined {
    const { tickMs, pingMs, deadMs } = this.#times;
    const elapsed = now - this.#lastTick;
    this.#lastTick = now;
    if (elapsed > tickMs + suspendedMs) {
      this.#silence = 0;
      return this.#ping(now, pingMs);
    }
    this.#silence += Math.min(elapsed, 2 * tickMs);
    if (this.#silence >= deadMs) return 'dead';
    if (this.#outstanding !== undefined || now < this.#nextPing) return undefined;
    return this.#ping(now, pingMs);
  }

  #ping(now: number, pingMs: number): { ping: number } {
    this.#token = (this.#token + 1) >>> 0;
    this.#outstanding = this.#token;
    this.#pingedAt = now;
    this.#nextPing = now + pingMs;
    return { ping: this.#token };
  }
}
