import { gatewayLimits } from '../../shared/protocol/gateway.ts';

/** What a gateway puts up with. Sizes are bytes, times milliseconds. */
export const serverLimits = {
  ...gatewayLimits,
  /** How often silence, greetings and lanes are looked at. */
  tickMs: 500,
  /** Connections that have not proved a key yet, from one address and in all. */
  greetingsPerAddress: 64,
  greetings: 512,
  /** New connections from one address: each costs a TLS handshake. A restarted gateway meets a whole site at once. */
  connectionsPerSecond: 30,
  connectionsAtOnce: 64,
  /** How long a TLS handshake and how long a request may take. */
  requestMs: 5_000,
  /** Control messages and rosters that may wait for a machine that does not read. */
  controlBacklog: 8 << 20,
  /** Tickets of one machine, used and expired ones included. */
  ticketsPerMachine: 256,
  /** How long a ticket is remembered after it expired, to tell a late guest why. */
  ticketMemoryMs: 60 * 60_000,
  /** How many control messages one message of a roster counts for: checking signatures takes long. */
  rosterCost: 10,
  /** How long a drain waits for what is on its way. */
  drainMs: 3_000,
  /** How often last-seen times are written. */
  seenMs: 30_000,
};

export type ServerLimits = { readonly [K in keyof typeof serverLimits]: number };
