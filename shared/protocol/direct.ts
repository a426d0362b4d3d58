import * as v from 'valibot';

/**
 * Between a machine that dials another one straight, and the listener there (`/v1/link`): JSON messages until `welcome`,
 * then the frames of the link. The listener speaks first. Neither says who it is to somebody who does not know: the
 * dialler names the machine that it wants, and proves its own key; who answers is for the link's handshake to prove.
 */
export const directLimits = {
  /** Bytes of one greeting message. */
  message: 4 << 10,
  /** Milliseconds from the connection to the end of the greeting. */
  greetingMs: 5_000,
} as const;

const protocol = v.object({ min: v.number(), max: v.number() });
const wireError = v.object({ code: v.string(), message: v.string(), hint: v.optional(v.string()) });
const id = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));

export const toDiallerSchema = v.variant('type', [
  v.object({ type: v.literal('challenge'), protocol, nonce: v.pipe(v.string(), v.maxLength(64)) }),
  v.object({ type: v.literal('welcome') }),
  v.object({ type: v.literal('refused'), error: wireError }),
]);
export type ToDialler = v.InferOutput<typeof toDiallerSchema>;

export const toListenerSchema = v.object({
  type: v.literal('hello'),
  protocol,
  team: v.pipe(v.string(), v.maxLength(64)),
  /** The dialling machine, and the one that it wants. */
  machine: id,
  to: id,
  /** Raw Ed25519 key, base64url. */
  signKey: v.pipe(v.string(), v.maxLength(64)),
  /** Over `directProof(…)`, base64url. */
  sig: v.pipe(v.string(), v.maxLength(128)),
});
export type ToListener = v.InferOutput<typeof toListenerSchema>;

/**
 * What a machine signs to prove its key to the listener with this certificate (SHA-256, hex) on one connection: whoever
 * is in between shows another certificate, and has a signature that is of no use.
 */
export function directProof(nonce: string, certificate: string, { team, machine, to }: Proved): Uint8Array {
  return new TextEncoder().encode(`niia direct 1\n${nonce}\n${certificate}\n${team}\n${machine}\n${to}`);
}

type Proved = Pick<ToListener, 'team' | 'machine' | 'to'>;
