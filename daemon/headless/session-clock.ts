/**
 * The time of one session, milliseconds as of `performance.now()`: it stands still while the session is frozen, so that
 * nothing in it is late, idle or over for that.
 */
export class SessionClock {
  #stoppedAt: number | undefined;
  #lost = 0;

  now(): number {
    return (this.#stoppedAt ?? performance.now()) - this.#lost;
  }

  stop(): void {
    this.#stoppedAt ??= performance.now();
  }

  go(): void {
    if (this.#stoppedAt === undefined) return;
    this.#lost += performance.now() - this.#stoppedAt;
    this.#stoppedAt = undefined;
  }
}
