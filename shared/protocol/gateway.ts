import * as v from 'valibot';
import type { IceServer } from './ice-server.ts';
import { iceServerSchema } from './ice-server.ts';

export type { IceServer } from './ice-server.ts';

/**
 * Between a machine and a gateway. Every message starts with one byte:
 *
 * | byte | rest                                                                               |
 * | ---- | ---------------------------------------------------------------------------------- |
 * | 0    | control: JSON, one of the messages below                                           |
 * | 1    | relay: index (4, big-endian), payload. Sent: whom it is for; received: whose it is |
 * | 2    | ping: 4 bytes, which the pong repeats                                              |
 * | 3    | pong                                                                               |
 *
 * The gateway speaks first (`challenge`); the machine answers with `hello` or `guest`; then comes `welcome` or `lane`,
 * or `refused` and the end. An index names one connection of one machine: it is never used again, so nothing sent to a
 * machine that left reaches its next connection.
 */
export const gatewayFrame = { control: 0, relay: 1, ping: 2, pong: 3 } as const;

export const gatewayLimits = {
  /** Payload bytes of one relay message. */
  payload: 128 << 10,
  /** Bytes that may wait at the gateway from one machine to another; beyond it that circuit is reset. */
  circuit: 4 << 20,
  /** Control messages a machine may send a second, over a minute. */
  controlPerSecond: 50,
  /** Milliseconds from the connection to the end of the greeting. */
  helloMs: 10_000,
  /** The gateway pings a machine this often and ends a connection that was silent for `silentMs`. */
  pingMs: 2_000,
  silentMs: 7_000,
  /** A guest's lane: bytes in all, each way, and how long it may last. */
  guestBytes: 8 << 20,
  guestMs: 60_000,
  /** Guests with a wrong ticket from one address, a minute. */
  guestTriesPerMinute: 10,
} as const;

/** Close codes of the WebSocket. */
export const gatewayClose = {
  draining: 4000,
  refused: 4001,
  protocol: 4002,
  tooFast: 4003,
  replaced: 4004,
} as const;

const wireError = v.object({ code: v.string(), message: v.string(), hint: v.optional(v.string()) });
const index = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff));
const statements = v.array(v.object({ body: v.string(), sig: v.string() }));
const protocol = v.object({ min: v.number(), max: v.number() });
const chain = v.object({ head: v.string(), length: v.number() });
/** A chain that does not fit in one message goes in several: `more` says that the next statements follow. */
const roster = v.object({ type: v.literal('roster'), statements, more: v.optional(v.boolean()) });
/** Servers that help two machines to find a way between them; those of a form that is not known here are left out. */
const ice = v.object({
  /** The gateway answers STUN requests at this UDP port of the host by which it was dialled. */
  stunPort: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))),
  servers: v.exactOptional(
    v.pipe(
      v.array(v.unknown()),
      v.maxLength(32),
      v.transform((servers): IceServer[] => servers.filter((server) => v.is(iceServerSchema, server))),
    ),
  ),
});
export type GatewayIce = v.InferOutput<typeof ice>;

export const toMachineSchema = v.variant('type', [
  /** `nonce`: base64url; `gateway`: SHA-256 of its certificate, hex. */
  v.object({ type: v.literal('challenge'), protocol, software: v.string(), nonce: v.string(), gateway: v.string() }),
  v.object({ type: v.literal('refused'), error: wireError }),
  v.object({
    type: v.literal('welcome'),
    /** This connection's index, as others see it. */
    index,
    roster: chain,
    /** Members that are connected now, and when they came (ISO 8601). */
    present: v.array(v.object({ machine: v.string(), index, since: v.string() })),
    /** Members that are not, and when they were last seen. */
    absent: v.array(v.object({ machine: v.string(), lastSeen: v.nullable(v.string()) })),
    /** This connection's address as the gateway sees it. */
    address: v.string(),
    ice: v.optional(ice),
  }),
  /** In place of what the welcome said: its credentials are good for a time only. */
  v.object({ type: v.literal('ice'), ice }),
  /** Send your chain (`roster`): it is newer than the gateway's, or the gateway does not know the machine. */
  v.object({ type: v.literal('roster-wanted') }),
  roster,
  v.object({ type: v.literal('present'), machine: v.string(), index, since: v.string() }),
  v.object({ type: v.literal('absent'), machine: v.string(), index, lastSeen: v.string() }),
  /** Too much waited for this index; what was sent since the last acknowledgement may be lost. */
  v.object({ type: v.literal('circuit-reset'), index }),
  /** To a guest: talk to the inviter as `index`. */
  v.object({ type: v.literal('lane'), index }),
  /** To the inviter: guests with this ticket are let in from now on. */
  v.object({ type: v.literal('ticket-taken'), hash: v.string() }),
  /** To the inviter: a guest with this ticket (its hash) talks as `index`. */
  v.object({ type: v.literal('guest'), index, ticket: v.string() }),
  v.object({ type: v.literal('guest-gone'), index }),
  v.object({ type: v.literal('draining') }),
]);
export type ToMachine = v.InferOutput<typeof toMachineSchema>;

export const toGatewaySchema = v.variant('type', [
  v.object({
    type: v.literal('hello'),
    protocol,
    software: v.string(),
    team: v.string(),
    machine: v.string(),
    /** Raw Ed25519 key, base64url. */
    signKey: v.string(),
    /** Over `helloProof(…)`, base64url. */
    sig: v.string(),
    roster: chain,
    /** The gateway's admission secret, base64url: lets a team in that the gateway does not know yet. */
    admit: v.optional(v.string()),
  }),
  v.object({ type: v.literal('guest'), protocol, software: v.string(), ticket: v.string() }),
  roster,
  /** Let in one guest who shows the ticket with this hash, until then. */
  v.object({ type: v.literal('ticket'), hash: v.string(), expiresAt: v.string() }),
  v.object({ type: v.literal('ticket-drop'), hash: v.string() }),
  /** Ends a guest's lane. */
  v.object({ type: v.literal('guest-end'), index }),
]);
export type ToGateway = v.InferOutput<typeof toGatewaySchema>;

/** What a machine signs to prove its key to one gateway on one connection. */
export function helloProof(nonce: string, gateway: string, team: string, machine: string): Uint8Array {
  return new TextEncoder().encode(`niia gateway 1\n${nonce}\n${gateway}\n${team}\n${machine}`);
}
