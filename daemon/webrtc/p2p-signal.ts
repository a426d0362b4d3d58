import * as v from 'valibot';

/** What a WebRTC connection needs to say to its other end (RFC 8829; candidates trickle in, RFC 8838). */
export const p2pSignalSchema = v.variant('type', [
  v.object({ type: v.picklist(['offer', 'answer']), sdp: v.pipe(v.string(), v.maxLength(16_384)) }),
  v.object({
    type: v.literal('candidate'),
    candidate: v.object({
      candidate: v.pipe(v.string(), v.maxLength(1_024)),
      sdpMid: v.nullish(v.pipe(v.string(), v.maxLength(64))),
      sdpMLineIndex: v.nullish(v.number()),
    }),
  }),
]);
export type P2pSignal = v.InferOutput<typeof p2pSignalSchema>;
