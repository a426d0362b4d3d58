import * as v from 'valibot';
import { p2pSignalSchema } from '../webrtc/p2p-signal.ts';

/** Names one attempt; both ends use the name that the initiator chose. */
const connection = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{8,32}$/));

/**
 * What two machines tell each other to find ways between them. It is carried by whatever can carry a few hundred bytes: a
 * link that is up, a datagram on the LAN, a neighbour that has links to both. Signals may be lost, doubled and reordered;
 * who is at the other end of a path that they lead to is for the link's handshake to prove.
 */
export const signalSchema = v.variant('type', [
  /** Where the sender's listener can be dialled. `computer` is the same for machines on one computer, and says no more. */
  v.object({
    type: v.literal('addresses'),
    urls: v.pipe(v.array(v.pipe(v.string(), v.maxLength(300))), v.maxLength(32)),
    computer: v.pipe(v.string(), v.maxLength(64)),
  }),
  /** Of the attempt `connection`. The machine with the lower id makes the offers. */
  v.object({ type: v.literal('p2p'), connection, signal: p2pSignalSchema }),
  /** To the machine with the lower id: make an offer. */
  v.object({ type: v.literal('p2p-wanted') }),
  v.object({ type: v.literal('p2p-ended'), connection }),
]);
export type Signal = v.InferOutput<typeof signalSchema>;
