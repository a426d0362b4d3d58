import * as v from 'valibot';
import { pathKinds } from '../../shared/protocol/shapes.ts';
import { signedStatementSchema } from '../team/roster.ts';
import { parseJson } from './link-frames.ts';

const messageSchema = v.variant('type', [
  /** The sender's chain. */
  v.object({ type: v.literal('roster'), statements: v.pipe(v.array(signedStatementSchema), v.minLength(1)) }),
  /** The answer of a sender that now has the chain it was sent. */
  v.object({ type: v.literal('roster-taken'), head: v.string() }),
  /** The sender's only path of this kind was closed: the other end of it may not have noticed. */
  v.object({ type: v.literal('closed'), kind: v.picklist(pathKinds) }),
  /** The kind of path that the sender wants data to use; null for whichever is best. */
  v.object({ type: v.literal('prefer'), kind: v.nullable(v.picklist(pathKinds)) }),
]);

/** What the two ends of a link say to each other, as data frames for the link itself. */
export type LinkMessage = v.InferOutput<typeof messageSchema>;

/** Undefined for what is none: a later version may have more to say. */
export function parseMessage(bytes: Uint8Array): LinkMessage | undefined {
  const parsed = v.safeParse(messageSchema, parseJson(bytes));
  return parsed.success ? parsed.output : undefined;
}

export function encodeMessage(message: LinkMessage): Uint8Array {
  return Buffer.from(JSON.stringify(message));
}
