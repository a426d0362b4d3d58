import type { FailReason } from '../../../shared/connector/definition.ts';
import { NiiaError } from '../../../shared/errors.ts';

/** An attempt that comes to nothing. */
export class AttemptFailure extends Error {
  readonly reason: FailReason;

  constructor(reason: FailReason, why: string, options?: ErrorOptions) {
    super(why, options);
    this.name = 'AttemptFailure';
    this.reason = reason;
  }
}

/** An error in one sentence, with what its hint says. */
export function told(error: unknown): string {
  const { message, hint } = NiiaError.from(error);
  return hint === undefined ? message : `${message} (${hint})`;
}
