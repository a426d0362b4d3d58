import { NiiaError } from '../../../shared/errors.ts';
import type { AttemptKey, AttemptReport, Outcome } from '../../../shared/protocol/attempt-methods.ts';

/**
 * The coordinator of a run, wherever it is. `coordinators`: machines that may be it, the one that granted first. Both
 * reject with `fenced` where the attempt's epoch is not the present one any more; after any other error the attempt asks
 * again.
 */
export interface CoordinatorClient {
  /** Resolves when the coordinator has heard it. */
  renew(key: AttemptKey, report: AttemptReport, coordinators: readonly string[], signal: AbortSignal): Promise<void>;
  /** Resolves when the outcome, whose text is `text`, stands in the run's journal. */
  deliver(
    key: AttemptKey,
    outcome: Outcome,
    text: Uint8Array,
    coordinators: readonly string[],
    signal: AbortSignal,
  ): Promise<void>;
}

/** Before anybody can be asked. */
export const noCoordinator: CoordinatorClient = {
  renew: async () => {
    throw new NiiaError('offline', 'no coordinator can be asked yet');
  },
  deliver: async () => {
    throw new NiiaError('offline', 'no coordinator can be asked yet');
  },
};
