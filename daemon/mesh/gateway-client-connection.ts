import { NiiaError } from '../../shared/errors.ts';
import type { GatewayIce, ToMachine } from '../../shared/protocol/gateway.ts';
import { gatewayClose, gatewayFrame, helloProof, toMachineSchema } from '../../shared/protocol/gateway.ts';
import type { IceServer } from '../../shared/protocol/ice-server.ts';
import { agreeOnVersion, protocolRange } from '../../shared/protocol/version.ts';
import type { Transport, TransportHandler } from '../../shared/transport/transport.ts';
import type { Identity } from '../team/identity.ts';
import type { Roster, SignedStatement } from '../team/roster.ts';
import { Circuit } from './gateway-client-circuit.ts';
import type { HeartbeatTimes } from './gateway-client-heartbeat.ts';
import { Heartbeat, heartbeatTimes } from './gateway-client-heartbeat.ts';
import {
  controlJson,
  encodeControl,
  encodePing,
  encodeRoster,
  parseControl,
  pingLength,
  RosterAssembly,
  readNumber,
  relayHeader,
} from './gateway-wire.ts';
import { TransportClosed } from './transport-closed.ts';

/** A dialled gateway, before the first message. */
export interface DialledGateway {
  transport: Transport;
  /** SHA-256 of its certificate, hex; empty without TLS. */
  fingerprint: string;
  /** False where the certificate was only checked the usual way: the gateway may be behind something that ends TLS. */
  pinned?: boolean;
  /** The host that was dialled, as URLs have it; undefined for a gateway in this process. */
  host?: string;
}

export interface GatewayConnectionOptions {
  identity: Identity;
  software: string;
  roster: () => Roster;
  admit?: string | undefined;
  heartbeat?: HeartbeatTimes | undefined;
  helloMs: number;
  events: GatewayConnectionEvents;
}

export interface GatewayConnectionEvents {
  welcomed(): void;
  present(machine: string, since: string): void;
  absent(machine: string, lastSeen: string | null): void;
  circuit(machine: string, circuit: Transport): void;
  guest(ticketHash: string, lane: Transport): void;
  ticketTaken(hash: string): void;
  roster(statements: SignedStatement[]): void;
  /** STUN and TURN servers, in place of those before. */
  ice(servers: IceServer[]): void;
  /** Once. `refused`: trying again soon would end the same way. */
  ended(error: NiiaError, refused: boolean): void;
}

interface Peer {
  machine: string;
  /** Undefined between one circuit and the next. */
  circuit: Circuit | undefined;
  /** The circuit was reset: the next starts with the gateway's next ping, which closes off what was sent before. */
  awaitsPing: boolean;
}

/** How long after we closed a circuit ourselves the next one comes, so that a conversation that fails at once does not spin. */
const reopenMs = 500;

/** No team and no inviter has more; a gateway that says so would fill the memory. */
const mostPeers = 10_000;
const mostLanes = 256;

/** The machine's side of one connection to a gateway, from the challenge to its end. */
export class GatewayConnection implements TransportHandler {
  readonly #o: GatewayConnectionOptions;
  readonly #gateway: DialledGateway;
  readonly #peers = new Map<number, Peer>();
  readonly #lanes = new Map<number, Circuit>();
  readonly #assembly = new RosterAssembly();
  readonly #heartbeat: Heartbeat;
  readonly #reopening = new Set<NodeJS.Timeout>();
  readonly #ticker: NodeJS.Timeout;
  readonly #helloTimer: NodeJS.Timeout;
  #phase: 'challenge' | 'hello' | 'welcome' | 'ended' = 'challenge';
  /** Head of the last chain that went one way or the other. */
  #knownHead: string | undefined;
  /** Signature that ends the last chain the gateway sent: what we adopt from it need not go back. */
  #received: string | undefined;

  constructor(gateway: DialledGateway, options: GatewayConnectionOptions) {
    this.#o = options;
    this.#gateway = gateway;
    const times = options.heartbeat ?? heartbeatTimes;
    this.#heartbeat = new Heartbeat(performance.now(), times);
    this.#ticker = setInterval(() => this.#tick(), times.tickMs);
    this.#helloTimer = setTimeout(
      () => this.end(new NiiaError('gateway_unreachable', 'the gateway did not finish its greeting')),
      options.helloMs,
    );
    gateway.transport.start(this);
  }

  get rttMs(): number | null {
    return this.#heartbeat.rttMs;
  }

  get connected(): boolean {
    return this.#phase === 'welcome';
  }

  offerTicket(hash: string, expiresAt: string): void {
    this.#send({ type: 'ticket', hash, expiresAt });
  }

  dropTicket(hash: string): void {
    this.#send({ type: 'ticket-drop', hash });
  }

  /** Sends the machine's chain where the gateway cannot know it yet. */
  offerRoster(): void {
    const roster = this.#o.roster();
    const last = roster.statements.at(-1);
    if (roster.head === this.#knownHead || (last && last.sig === this.#received)) return;
    this.#knownHead = roster.head;
    for (const part of encodeRoster(roster.statements)) this.#gateway.transport.send(part);
  }

  message(bytes: Uint8Array): void {
    if (this.#phase === 'ended') return;
    this.#heartbeat.heard();
    try {
      this.#receive(bytes);
    } catch (error) {
      const { code, message } = NiiaError.from(error);
      const final = code === 'version_mismatch' || code === 'gateway_unreachable';
      this.end(new TransportClosed(gatewayClose.protocol, code, message), final);
    }
  }

  writable(): void {
    for (const peer of this.#peers.values()) peer.circuit?.drained();
    for (const lane of this.#lanes.values()) lane.drained();
  }

  closed(error?: Error): void {
    const replaced = error instanceof TransportClosed && error.closeCode === gatewayClose.replaced;
    const refused = error instanceof TransportClosed && error.closeCode === gatewayClose.refused;
    this.#finish(
      NiiaError.from(error ?? new NiiaError('offline', 'the gateway ended the connection')),
      replaced || refused,
    );
  }

  /** Ends the connection; without an error in an orderly way. */
  end(error?: NiiaError, refused = false): void {
    if (this.#phase === 'ended') return;
    this.#finish(error ?? new NiiaError('offline', 'the connection to the gateway was closed'), refused);
    this.#gateway.transport.close(error);
  }

  #finish(error: NiiaError, refused: boolean): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    clearInterval(this.#ticker);
    clearTimeout(this.#helloTimer);
    for (const timer of this.#reopening) clearTimeout(timer);
    for (const { circuit } of this.#peers.values()) circuit?.end(error);
    for (const lane of this.#lanes.values()) lane.end(error);
    this.#o.events.ended(error, refused);
  }

  #receive(bytes: Uint8Array): void {
    switch (bytes[0]) {
      case gatewayFrame.control:
        this.#control(parseControl(toMachineSchema, controlJson(bytes)));
        return;
      case gatewayFrame.relay: {
        if (bytes.length < relayHeader) break;
        const index = readNumber(bytes);
        const circuit = this.#peers.get(index)?.circuit ?? this.#lanes.get(index);
        circuit?.receive(bytes.subarray(relayHeader));
        return;
      }
      case gatewayFrame.ping:
        if (bytes.length !== pingLength) break;
        this.#gateway.transport.send(encodePing(gatewayFrame.pong, readNumber(bytes)));
        this.#afterPing();
        return;
      case gatewayFrame.pong:
        if (bytes.length !== pingLength) break;
        this.#heartbeat.pong(readNumber(bytes), performance.now());
        return;
    }
    throw new NiiaError('bad_request', `the gateway sent a message of kind ${bytes[0]} that is not whole`);
  }

  #control(message: ToMachine): void {
    if (message.type === 'refused') {
      this.end(NiiaError.fromWire(message.error), true);
      return;
    }
    switch (this.#phase) {
      case 'challenge':
        if (message.type === 'challenge') this.#hello(message);
        return;
      case 'hello':
        if (message.type === 'roster-wanted') this.#sendWantedRoster();
        else if (message.type === 'welcome') this.#welcomed(message);
        return;
      case 'welcome':
        this.#news(message);
    }
  }

  #hello(challenge: Extract<ToMachine, { type: 'challenge' }>): void {
    agreeOnVersion(challenge.protocol, 'the gateway');
    checkGateway(challenge.gateway, this.#gateway);
    const { identity, software, admit } = this.#o;
    const roster = this.#o.roster();
    this.#phase = 'hello';
    const proof = helloProof(challenge.nonce, challenge.gateway, roster.team.id, identity.id);
    this.#send({
      type: 'hello',
      protocol: protocolRange,
      software,
      team: roster.team.id,
      machine: identity.id,
      signKey: identity.signKey,
      sig: identity.sign(proof),
      roster: { head: roster.head, length: roster.length },
      ...(admit === undefined ? {} : { admit }),
    });
  }

  #welcomed(welcome: Extract<ToMachine, { type: 'welcome' }>): void {
    this.#phase = 'welcome';
    clearTimeout(this.#helloTimer);
    this.#knownHead = welcome.roster.head;
    this.#o.events.ice(this.#iceServers(welcome.ice ?? {}));
    this.#o.events.welcomed();
    for (const { machine, lastSeen } of welcome.absent) this.#o.events.absent(machine, lastSeen);
    for (const { machine, index, since } of welcome.present) this.#present(machine, index, since);
  }

  #news(message: ToMachine): void {
    switch (message.type) {
      case 'present':
        this.#present(message.machine, message.index, message.since);
        return;
      case 'absent': {
        const peer = this.#peers.get(message.index);
        if (!peer) return;
        this.#peers.delete(message.index);
        peer.circuit?.end(new NiiaError('offline', 'the machine left the gateway'));
        this.#o.events.absent(peer.machine, message.lastSeen);
        return;
      }
      case 'circuit-reset': {
        const peer = this.#peers.get(message.index);
        if (!peer) return;
        peer.awaitsPing = true;
        const { circuit } = peer;
        peer.circuit = undefined;
        circuit?.end(new NiiaError('link_lost', 'more waited for the machine than the gateway holds'));
        return;
      }
      case 'guest': {
        if (this.#lanes.size >= mostLanes) throw new NiiaError('too_large', 'the gateway names too many guests');
        const lane = new Circuit(message.index, this.#gateway.transport, () => {
          this.#lanes.delete(message.index);
          this.#send({ type: 'guest-end', index: message.index });
        });
        this.#lanes.set(message.index, lane);
        this.#o.events.guest(message.ticket, lane);
        return;
      }
      case 'ticket-taken':
        this.#o.events.ticketTaken(message.hash);
        return;
      case 'guest-gone': {
        const lane = this.#lanes.get(message.index);
        this.#lanes.delete(message.index);
        lane?.end();
        return;
      }
      case 'roster-wanted':
        this.#sendWantedRoster();
        return;
      case 'ice':
        this.#o.events.ice(this.#iceServers(message.ice));
        return;
      case 'roster': {
        const statements = this.#assembly.add(message);
        if (!statements) return;
        this.#received = statements.at(-1)?.sig;
        this.#o.events.roster(statements);
      }
    }
  }

  #iceServers({ stunPort, servers = [] }: GatewayIce): IceServer[] {
    const { host } = this.#gateway;
    return stunPort === undefined || host === undefined
      ? servers
      : [{ urls: [`stun:${host}:${stunPort}`] }, ...servers];
  }

  #sendWantedRoster(): void {
    this.#knownHead = undefined;
    this.#received = undefined;
    this.offerRoster();
  }

  #present(machine: string, index: number, since: string): void {
    if (machine === this.#o.identity.id || this.#peers.has(index)) return;
    for (const [before, peer] of this.#peers) {
      if (peer.machine !== machine) continue;
      this.#peers.delete(before);
      peer.circuit?.end(new NiiaError('offline', 'the machine came anew'));
    }
    if (this.#peers.size >= mostPeers) throw new NiiaError('too_large', 'the gateway names too many machines');
    this.#peers.set(index, { machine, circuit: undefined, awaitsPing: false });
    this.#o.events.present(machine, since);
    this.#open(index);
  }

  #open(index: number): void {
    const peer = this.#peers.get(index);
    if (this.#phase !== 'welcome' || !peer || peer.circuit || peer.awaitsPing) return;
    const circuit = new Circuit(index, this.#gateway.transport, (closed) => {
      if (peer.circuit === closed) peer.circuit = undefined;
      const timer = setTimeout(() => {
        this.#reopening.delete(timer);
        this.#open(index);
      }, reopenMs);
      this.#reopening.add(timer);
    });
    peer.circuit = circuit;
    this.#o.events.circuit(peer.machine, circuit);
  }

  #afterPing(): void {
    for (const [index, peer] of this.#peers) {
      if (!peer.awaitsPing) continue;
      peer.awaitsPing = false;
      this.#open(index);
    }
  }

  #tick(): void {
    if (this.#phase === 'ended') return;
    if (this.#phase !== 'welcome') {
      this.#heartbeat.heard();
      return;
    }
    const todo = this.#heartbeat.tick(performance.now());
    if (todo === 'dead') this.end(new NiiaError('offline', 'the gateway fell silent'));
    else if (todo) this.#gateway.transport.send(encodePing(gatewayFrame.ping, todo.ping));
  }

  #send(message: Parameters<typeof encodeControl>[0]): void {
    if (this.#phase !== 'ended') this.#gateway.transport.send(encodeControl(message));
  }
}

/**
 * A gateway names its certificate in the challenge, and the proof of the machine's key is good for that gateway only.
 * One without a certificate of its own (`''`) is believed where none was pinned.
 */
export function checkGateway(
  named: string,
  { fingerprint, pinned = true }: Pick<DialledGateway, 'fingerprint' | 'pinned'>,
): void {
  if (named === fingerprint || (named === '' && !pinned)) return;
  throw new NiiaError('gateway_unreachable', 'the gateway names another certificate than the one that it shows');
}
