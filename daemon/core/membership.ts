import { randomBytes } from 'node:crypto';
import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import type { Role } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { ConfigStore } from '../home/config.ts';
import type { Log } from '../home/log.ts';
import { isLoopbackUrl } from '../mesh/proxy.ts';
import type { Identity } from '../team/identity.ts';
import type { InviteCode } from '../team/invite-code.ts';
import { decodeInvite, encodeInvite } from '../team/invite-code.ts';
import { requestJoin, serveJoin } from '../team/join.ts';
import type { TeamStore } from '../team/team-store.ts';
import type { Tickets } from '../team/tickets.ts';
import type { Machines } from './machines.ts';
import type { Network } from './network.ts';

export interface MembershipOptions {
  identity: Identity;
  team: TeamStore;
  tickets: Tickets;
  config: ConfigStore;
  network: Network;
  machines: Machines;
  log: Log;
}

/** How long a join may take, from the dial to the signed membership. */
const joinMs = 20_000;
/** How long a machine that joined waits for its first link before it says that it has joined all the same. */
const firstLinkMs = 5_000;

/** How machines come into the team, change their role and leave it. */
export class Membership {
  readonly #o: MembershipOptions;
  readonly #lanes = new Set<AbortController>();

  constructor(options: MembershipOptions) {
    this.#o = options;
  }

  show(): ResultOf<'team.show'> {
    const { current } = this.#o.team;
    const members = [...current.members.values()].map(({ name, id, role, joinedAt }) => ({
      name,
      id,
      role,
      joinedAt,
      self: id === this.#o.identity.id,
    }));
    return { team: current.team, members };
  }

  async create(name: string, leave: boolean): Promise<ResultOf<'team.create'>> {
    this.#mayLeave(leave);
    this.#farewell();
    this.#o.team.create(name);
    this.#o.tickets.clear();
    await this.#o.network.restart('this machine made a team of its own');
    return { team: this.#o.team.current.team };
  }

  async invite(role: Role, expiresMs: number): Promise<ResultOf<'team.invite'>> {
    const { network, tickets, team, identity } = this.#o;
    this.#mustBeAdmin('invite');
    const { gateway } = network;
    if (!gateway) {
      throw new NiiaError(
        'gateway_unreachable',
        'there is no gateway through which a guest could come',
        'See: niia status',
      );
    }
    const { secret, hash, expiresAt } = tickets.make(role, expiresMs);
    // The code is of use once it is given out: over a slow line the gateway may have to be waited for.
    await network.offerTicket(hash, expiresAt.toISOString());
    const code = encodeInvite({
      team: team.current.team.id,
      inviterKey: identity.noiseKey,
      fingerprint: gateway.fingerprint,
      secret,
      expiresAt,
      urls: gateway.urls,
    });
    return { code, role, expiresAt: expiresAt.toISOString() };
  }

  /** Serves a guest that the gateway let through to us. */
  welcome(ticketHash: string, lane: Transport): void {
    const { tickets, team, identity, network, log } = this.#o;
    const abort = new AbortController();
    this.#lanes.add(abort);
    const { gateway } = network;
    serveJoin({
      lane,
      ticketHash,
      tickets,
      store: team,
      identity,
      gateways: gateway ? [gateway] : [],
      signal: abort.signal,
    })
      .then(
        ({ member, delivered }) => {
          log.info('a machine joined', { name: member.name, id: member.id, role: member.role, delivered });
          // A guest that was cut off before its answer comes back with the same code.
          if (delivered) network.dropTicket(ticketHash);
        },
        (error: unknown) => log.warn('a guest was refused', { error: NiiaError.from(error) }),
      )
      .finally(() => this.#lanes.delete(abort));
  }

  async join(
    text: string,
    name: string | undefined,
    leave: boolean,
    signal: AbortSignal,
  ): Promise<ResultOf<'team.join'>> {
    const { team } = this.#o;
    const code = decodeInvite(text);
    if (code.team === team.current.team.id && team.self) {
      throw new NiiaError('already_member', `this machine is a member of ${team.current.team.name} already`);
    }
    if (code.expiresAt.getTime() < Date.now()) {
      throw new NiiaError(
        'code_expired',
        `this invite expired at ${code.expiresAt.toISOString()}`,
        'Ask for a new one: niia invite',
      );
    }
    this.#mayLeave(leave);
    const limit = new AbortController();
    const timer = setTimeout(
      () => limit.abort(new NiiaError('timeout', 'the join took too long', 'Try the same code again.')),
      joinMs,
    );
    const abort = (): void => limit.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await this.#joinWith(code, name, limit.signal);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  async #joinWith(code: InviteCode, name: string | undefined, signal: AbortSignal): Promise<ResultOf<'team.join'>> {
    const { identity, team, tickets, config, network, machines } = this.#o;
    const { lane, over } = await network.guestLane(code, signal);
    const ownName = team.self?.name ?? identity.name;
    const joined = await requestJoin({
      lane,
      code,
      identity,
      name: name ?? ownName,
      nameChosen: name !== undefined,
      signal,
    });
    this.#farewell();
    team.replace(joined.roster);
    tickets.clear();
    const target = joined.gateways[0] ?? { urls: code.urls, fingerprint: code.fingerprint };
    // A gateway on the inviter's own loopback is none for a machine that came over the local network.
    const reachable = over === 'gateway' || !target.urls.every(isLoopbackUrl);
    config.update({ gateway: reachable ? { urls: target.urls, fingerprint: target.fingerprint } : undefined });
    await network.restart('this machine joined another team');
    const inviter = joined.roster.find(joined.inviter);
    if (inviter) {
      // A member is a member whether or not its first link is quick.
      await machines.peer(inviter, signal, firstLinkMs).catch((error: unknown) => {
        this.#o.log.warn('joined, but the inviter cannot be reached yet', { error });
      });
    }
    return {
      team: joined.roster.team,
      machine: { name: joined.name, id: identity.id },
      role: joined.role,
      inviter: inviter?.name ?? joined.inviter,
    };
  }

  setRole(machine: string, role: Role): ResultOf<'team.role'> {
    this.#mustBeAdmin('change roles');
    const member = this.#o.machines.find(machine);
    if (member.role !== role) this.#o.team.append({ op: 'role', machine: member.id, role });
    return { machine: member.name, role };
  }

  remove(machine: string): ResultOf<'team.remove'> {
    const member = this.#o.machines.find(machine);
    if (member.id !== this.#o.identity.id) this.#mustBeAdmin('remove machines');
    this.#o.team.append({ op: 'remove', machine: member.id });
    return { machine: member.name };
  }

  close(): void {
    for (const lane of this.#lanes) lane.abort(new NiiaError('link_lost', 'the daemon stops'));
  }

  /** The roster takes statements of admins only; a machine that is none learns it before it promises anything. */
  #mustBeAdmin(what: string): void {
    const { self, current } = this.#o.team;
    if (self?.role === 'admin') return;
    const admins = [...current.members.values()]
      .filter((member) => member.role === 'admin')
      .map((member) => member.name);
    throw new NiiaError(
      'denied',
      `this machine is ${self ? self.role : 'no member'} in ${current.team.name}; only an admin may ${what}`,
      `Admins: ${admins.join(', ')}. There it works with --machine, or on that machine itself.`,
    );
  }

  /** A team of one is left by joining another; a larger one only on purpose. */
  #mayLeave(leave: boolean): void {
    const { current, self } = this.#o.team;
    if (leave || !self || current.members.size === 1) return;
    throw new NiiaError(
      'already_member',
      `this machine is in the team ${current.team.name} with ${current.members.size - 1} others`,
      'To leave it, say so: --leave',
    );
  }

  /** Tells the present team that we leave; where that cannot be (the last admin), it will see us as offline. */
  #farewell(): void {
    const { team, identity, log } = this.#o;
    if (!team.self || team.current.members.size === 1) return;
    try {
      team.append({ op: 'remove', machine: identity.id });
    } catch (error) {
      log.warn('the old team could not be told', { error: NiiaError.from(error) });
    }
  }
}

/** The team that a machine starts with: itself alone. */
export function freshTeamName(machine: string): string {
  return `${machine}-${randomBytes(2).toString('hex')}`.slice(0, 63);
}
