import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { IceOffer } from '../../../daemon/gateway/ice.ts';
import type { ServerLimits } from '../../../daemon/gateway/limits.ts';
import { GatewayServer } from '../../../daemon/gateway/server.ts';
import { GatewayStore } from '../../../daemon/gateway/store.ts';
import { Home } from '../../../daemon/home/home.ts';
import { Log } from '../../../daemon/home/log.ts';
import {
  controlJson,
  encodeControl,
  encodePing,
  encodeRelay,
  encodeRoster,
  parseControl,
  readNumber,
} from '../../../daemon/mesh/gateway-wire.ts';
import { Identity } from '../../../daemon/team/identity.ts';
import { Roster } from '../../../daemon/team/roster.ts';
import type { ToGateway, ToMachine } from '../../../shared/protocol/gateway.ts';
import { gatewayFrame, helloProof, toMachineSchema } from '../../../shared/protocol/gateway.ts';
import { protocolRange } from '../../../shared/protocol/version.ts';
import { memoryTransportPair } from '../../../shared/transport/memory-transport.ts';
import type { Transport, TransportHandler } from '../../../shared/transport/transport.ts';

export const fingerprint = 'ab'.repeat(32);
// Refusals are what many tests are about: they need not be read.
process.env['NIIA_LOG'] ??= 'error';
export const log = new Log('test');

export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'niia-gateway-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function newIdentity(name: string): Identity {
  const home = new Home(scratch());
  return Identity.load(home, name);
}

export function memberOf(identity: Identity, role: 'viewer' | 'operator' | 'admin' = 'operator') {
  const { id, name, signKey, noiseKey } = identity;
  return { op: 'add' as const, member: { id, name, role, signKey, noiseKey } };
}

export const at = '2026-01-01T00:00:00.000Z';

/** A team of machines named a, b, c…; the first one is its admin. */
export function newTeam(names: string[], team = 'team'): { roster: Roster; machines: Identity[] } {
  const machines = names.map(newIdentity);
  const [first, ...others] = machines;
  let roster = Roster.create(team, first!, first!.name, `nonce ${Math.random()}`, at);
  for (const other of others) roster = roster.append(memberOf(other), first!, at);
  return { roster, machines };
}

export function newServer(options: {
  roster?: Roster;
  admission?: Uint8Array;
  ice?: IceOffer;
  limits?: Partial<ServerLimits>;
  dir?: string;
}): GatewayServer {
  const { roster, dir = scratch(), ...rest } = options;
  const server = new GatewayServer({ store: new GatewayStore(dir, log), fingerprint, log, ...rest });
  if (roster) server.updateRoster(roster);
  onTestFinished(() => server.close());
  return server;
}

type Message<T extends ToMachine['type']> = Extract<ToMachine, { type: T }>;

/** The far end of one connection to a gateway: says what the test wants, keeps what comes. */
export class Probe implements TransportHandler {
  readonly control: ToMachine[] = [];
  readonly relayed: Array<{ index: number; payload: Buffer }> = [];
  answersPings = true;
  error: Error | undefined;
  isClosed = false;
  #wakers: Array<() => void> = [];
  #pongs = 0;

  constructor(readonly transport: Transport) {
    transport.start(this);
  }

  /** Connects to `server` in memory. */
  static to(server: GatewayServer, { address = '192.0.2.1', highWatermark = 256 << 10 } = {}): Probe {
    const [ours, theirs] = memoryTransportPair(highWatermark);
    const probe = new Probe(ours);
    server.accept(theirs, { address });
    onTestFinished(() => ours.close());
    return probe;
  }

  /** Connects as a member and waits for the welcome. */
  static async member(server: GatewayServer, identity: Identity, roster: Roster): Promise<Probe> {
    const probe = Probe.to(server);
    await probe.hello(identity, roster);
    await probe.next('welcome');
    return probe;
  }

  get index(): number {
    return this.all('welcome')[0]!.index;
  }

  async hello(
    identity: Identity,
    roster: Roster,
    change: Partial<Extract<ToGateway, { type: 'hello' }>> = {},
  ): Promise<void> {
    const challenge = await this.next('challenge');
    const { id } = roster.team;
    this.send({
      type: 'hello',
      protocol: protocolRange,
      software: 'test',
      team: id,
      machine: identity.id,
      signKey: identity.signKey,
      sig: identity.sign(helloProof(challenge.nonce, challenge.gateway, id, identity.id)),
      roster: { head: roster.head, length: roster.length },
      ...change,
    });
  }

  async guest(ticket: string): Promise<void> {
    await this.next('challenge');
    this.send({ type: 'guest', protocol: protocolRange, software: 'test', ticket });
  }

  send(message: ToGateway): void {
    this.transport.send(encodeControl(message));
  }

  sendRoster(roster: Roster): void {
    for (const part of encodeRoster(roster.statements)) this.transport.send(part);
  }

  relay(index: number, payload: string | Uint8Array): void {
    this.transport.send(encodeRelay(index, typeof payload === 'string' ? Buffer.from(payload) : payload));
  }

  all<T extends ToMachine['type']>(type: T): Array<Message<T>> {
    return this.control.filter((message): message is Message<T> => message.type === type);
  }

  /** The `nth` message of a type (from 1), once it is there. */
  async next<T extends ToMachine['type']>(type: T, nth = 1): Promise<Message<T>> {
    await this.until(() => this.all(type).length >= nth || this.isClosed);
    const message = this.all(type)[nth - 1];
    if (!message) throw new Error(`closed before ${type}: ${this.error?.message}`);
    return message;
  }

  async nextRelay(nth = 1): Promise<{ index: number; payload: Buffer }> {
    await this.until(() => this.relayed.length >= nth || this.isClosed);
    return this.relayed[nth - 1]!;
  }

  async closedWith(): Promise<Error | undefined> {
    await this.until(() => this.isClosed);
    return this.error;
  }

  /** Waits until everything said so far was dealt with by the gateway. */
  async settled(): Promise<void> {
    const before = this.#pongs;
    this.transport.send(encodePing(gatewayFrame.ping, 7));
    await this.until(() => this.#pongs > before || this.isClosed);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wakers.push(resolve);
      });
    }
  }

  message(bytes: Uint8Array): void {
    switch (bytes[0]) {
      case gatewayFrame.control:
        this.control.push(parseControl(toMachineSchema, controlJson(bytes)));
        break;
      case gatewayFrame.relay:
        this.relayed.push({ index: readNumber(bytes), payload: Buffer.from(bytes.subarray(5)) });
        break;
      case gatewayFrame.ping:
        if (this.answersPings) this.transport.send(encodePing(gatewayFrame.pong, readNumber(bytes)));
        break;
      case gatewayFrame.pong:
        this.#pongs++;
    }
    this.#wake();
  }

  writable(): void {
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }

  closed(error?: Error): void {
    this.error = error;
    this.isClosed = true;
    this.#wake();
  }
}

/** An event source that tests await. */
export class Recorder<T> {
  readonly items: T[] = [];
  #wake: Array<() => void> = [];

  push(item: T): void {
    this.items.push(item);
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** The first item (from position `from`) for which it holds, once it is there. */
  async first(holds: (item: T) => boolean, from = 0): Promise<T> {
    for (;;) {
      const found = this.items.slice(from).find(holds);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}
