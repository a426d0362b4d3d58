import type { FailReason } from '../../../shared/connector/definition.ts';

/** An attempt that comes to nothing. */
export class AttemptFailure extends Error {
  readonly reason: FailReason;

  constructor(reason: FailReason, why: string, options?: ErrorOptions) {
    super(why, options);
    this.name = 'AttemptFailure';
    this.reason = reason;
  }
}
