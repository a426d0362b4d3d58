import type { NiiaError } from '../../shared/errors.ts';
import type { Member, SignedStatement } from '../team/roster.ts';

/** What the owner of a link has to do, in this order. */
export type LinkAction =
  | { do: 'send'; path: number; head: Uint8Array; body?: Uint8Array }
  | { do: 'deliver'; message: Uint8Array }
  | { do: 'opened'; member: Member }
  /** The open link ended; nothing of it follows. */
  | { do: 'closed'; error: NiiaError }
  /** `writable` is true again. */
  | { do: 'writable' }
  /** The other machine has a chain that takes the place of ours. */
  | { do: 'offer'; statements: readonly SignedStatement[] }
  | { do: 'close-path'; path: number }
  /** What a status would show changed. */
  | { do: 'changed' };
