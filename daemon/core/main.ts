import { rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { NiiaError } from '../../shared/errors.ts';
import type { DaemonStatus, MachineReport } from '../../shared/protocol/shapes.ts';
import type { IncomingCall, Principal } from '../../shared/rpc/call.ts';
import { typedCall } from '../../shared/rpc/client.ts';
import { Peer } from '../../shared/rpc/peer.ts';
import { SocketTransport } from '../../shared/transport/socket-transport.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { Attempts } from '../connector/attempts/attempts.ts';
import { Coordinators } from '../connector/coordinator-client.ts';
import type { RunTeam } from '../connector/run-team.ts';
import { Runs } from '../connector/runs.ts';
import { Copies } from '../files/copies.ts';
import type { Config } from '../home/config.ts';
import { ConfigStore } from '../home/config.ts';
import { readIfThere } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { acquireLock } from '../home/lock.ts';
import { keepLog, Log } from '../home/log.ts';
import { removeStranded } from '../home/stranded.ts';
import { build, platform, version } from '../home/version.ts';
import { takeOver, takeOverVariable } from '../lifecycle/take-over.ts';
import { Upgrades } from '../lifecycle/upgrades.ts';
import { parseGatewayUrl } from '../mesh/gateway-url.ts';
import { daemonRecordFile, writeDaemonRecord } from '../process/daemon-record.ts';
import { noteStart, thisInstallation } from '../process/installation.ts';
import { listenLocal } from '../process/local-socket.ts';
import { isManaged } from '../process/managed.ts';
import { takeRestartMark } from '../process/restart-mark.ts';
import { Identity } from '../team/identity.ts';
import type { Member } from '../team/roster.ts';
import { TeamStore } from '../team/team-store.ts';
import { Tickets } from '../team/tickets.ts';
import { ApprovalPolicies } from './approval-policies.ts';
import { AuditLog } from './audit.ts';
import { diskReport } from './disk-report.ts';
import { daemonHandlers } from './handlers.ts';
import { HeadlessKeeper } from './headless-keeper.ts';
import { HeadlessServers } from './headless-servers.ts';
import { KnownMachines } from './known-machines.ts';
import { mayListen } from './listen-address.ts';
import { Machines } from './machines.ts';
import { freshTeamName, Membership } from './membership.ts';
import { Network } from './network.ts';
import { RequestBudget } from './request-budget.ts';
import { Router } from './router.ts';
import { SessionSockets } from './session-sockets.ts';
import { Sessions } from './sessions.ts';
import { Changes } from './watch.ts';

/** How long a call of a run waits for the link to a machine: it is made again soon. */
const runPatienceMs = 2_000;

export interface DaemonOptions {
  home: Home;
  /** The machine's name, at its first start. */
  name?: string | undefined;
  /** URL of a gateway to use instead of an embedded one. */
  gateway?: string | undefined;
  /** `host:port` where this machine listens. */
  listen?: string | undefined;
  /** Kinds of paths, and the LAN: on or off. */
  ways?: Partial<Pick<Config, 'direct' | 'p2p' | 'lan'>> | undefined;
  labels?: Record<string, string> | undefined;
}

/** Runs this machine's daemon until it is told to stop. Throws when it cannot start. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { home } = options;
  home.prepare();
  keepLog(home.path('daemon.log'));
  const log = new Log('daemon');
  const upgrade = process.env[takeOverVariable];
  // Nothing that this daemon starts is meant by it.
  delete process.env[takeOverVariable];
  const lock = await (upgrade ? takeOver(home, upgrade) : acquireLock(home.path('daemon.lock')));
  if ('heldBy' in lock) {
    throw new NiiaError('busy', `a daemon runs for ${home.root} already (pid ${lock.heldBy})`, 'See: niia status');
  }
  try {
    if (!mayStart(home, log)) return;
    removeStranded(home.root, 2);
    await new Daemon(options, log).run();
  } finally {
    lock.release();
  }
}

/** Tells of a daemon that crashed. One that was to be brought back and was stopped meanwhile stays away. */
function mayStart(home: Home, log: Log): boolean {
  const left = readIfThere(daemonRecordFile(home));
  const restarted = takeRestartMark();
  if (left === undefined) return !restarted;
  log.warn('the daemon before this one ended without saying so', { left: left.trim() });
  return true;
}

class Daemon {
  readonly #home: Home;
  readonly #log: Log;
  readonly #identity: Identity;
  readonly #config: ConfigStore;
  readonly #team: TeamStore;
  readonly #servers: HeadlessServers;
  readonly #keeper: HeadlessKeeper;
  readonly #network: Network;
  readonly #machines: Machines;
  readonly #known: KnownMachines;
  readonly #membership: Membership;
  readonly #upgrades: Upgrades;
  readonly #router: Router;
  readonly #policies: ApprovalPolicies;
  readonly #sessionSockets: SessionSockets;
  readonly #attempts: Attempts;
  readonly #runs: Runs;
  readonly #reportChanges = new Changes();
  readonly #startedAt = new Date().toISOString();
  readonly #local = new Set<Peer>();
  #stop: () => void = () => undefined;
  readonly #stopped = new Promise<void>((resolve) => {
    this.#stop = resolve;
  });

  constructor(options: DaemonOptions, log: Log) {
    const { home } = options;
    this.#home = home;
    this.#log = log;
    this.#identity = Identity.load(home, options.name);
    this.#config = new ConfigStore(home);
    this.#adopt(options);
    this.#team = TeamStore.open({ home, identity: this.#identity, log, freshName: freshTeamName });
    const tickets = new Tickets(home);
    const machineName = (): string => this.#team.self?.name ?? this.#identity.name;
    this.#servers = new HeadlessServers(home, machineName, new Log('headless-servers'));
    this.#keeper = new HeadlessKeeper({
      servers: this.#servers,
      wanted: () => this.#config.current.guard === 'on',
      log: new Log('headless-keeper'),
    });
    this.#network = new Network({
      home,
      identity: this.#identity,
      team: this.#team,
      config: this.#config,
      log: new Log('network'),
      opened: (remote, transport) => this.#linkOpened(remote, transport),
      guest: (ticketHash, lane) => this.#membership.welcome(ticketHash, lane),
      tickets: () => tickets.unexpired(),
      links: {
        get: (machine) => this.#machines.openPeer(machine),
        machines: () => this.#machines.openPeers(),
      },
    });
    this.#known = new KnownMachines(home, log);
    this.#machines = new Machines({
      self: this.#identity.id,
      team: this.#team,
      network: this.#network,
      report: () => this.#report(),
      startedAt: this.#startedAt,
      known: this.#known,
      log,
    });
    this.#machines.changes.subscribe(() => this.#known.update(this.#machines.list()));
    this.#membership = new Membership({
      identity: this.#identity,
      team: this.#team,
      tickets,
      config: this.#config,
      network: this.#network,
      machines: this.#machines,
      log: new Log('team'),
    });
    this.#upgrades = new Upgrades({
      home,
      identity: this.#identity,
      team: this.#team,
      machineName,
      log: new Log('upgrades'),
    });
    const audit = new AuditLog(home.path('audit.jsonl'), log);
    const machine = () => ({ name: machineName(), id: this.#identity.id });
    this.#policies = new ApprovalPolicies({
      path: home.path('policies.json'),
      ...{ servers: this.#servers, audit, machine, log: new Log('policies') },
    });
    this.#sessionSockets = new SessionSockets({
      ...{ servers: this.#servers, machine, log: new Log('session-sockets') },
      serve: (call, principal) => this.#router.serve(call, principal),
    });
    const runTeam = this.#runTeam();
    this.#attempts = new Attempts({
      ...{ home, servers: this.#servers, machine, log: new Log('attempts') },
      scratchpad: (key, coordinators) => coordinatorsOfRuns.scratchpad(key, coordinators),
    });
    this.#runs = new Runs({
      ...{ home, team: runTeam, attempts: this.#attempts, log: new Log('runs') },
      secret: (name) => process.env[name],
    });
    const coordinatorsOfRuns = new Coordinators(this.#runs, runTeam);
    this.#attempts.coordinator = coordinatorsOfRuns;
    this.#router = new Router({
      self: this.#identity.id,
      machines: this.#machines,
      sessions: new Sessions(this.#servers, machineName),
      handlers: daemonHandlers({
        home,
        self: this.#identity.id,
        servers: this.#servers,
        keeper: this.#keeper,
        machines: this.#machines,
        known: this.#known,
        membership: this.#membership,
        network: this.#network,
        upgrades: this.#upgrades,
        copies: new Copies(home),
        attempts: this.#attempts,
        runs: this.#runs,
        config: this.#config,
        report: () => this.#report(),
        reportChanges: this.#reportChanges,
        policies: this.#policies,
        status: () => this.#status(),
        machineName,
        stop: (sessions) => this.#stopSoon(sessions),
      }),
      config: this.#config,
      audit,
    });
    this.#servers.changes.subscribe(() => {
      this.#reportChanges.notify();
      this.#machines.changes.notify();
    });
  }

  async run(): Promise<void> {
    const stop = (): void => this.#stop();
    process.on('SIGTERM', stop).on('SIGINT', stop);
    // A closed terminal is no reason to end.
    process.on('SIGHUP', () => undefined);
    await this.#servers.findRunning();
    // Before anybody can begin another.
    this.#attempts.resume();
    await this.#network.start();
    this.#config.save();
    // Whoever asks finds them.
    await this.#runs.open();
    const socket = this.#home.socket('daemon');
    const server = await listenLocal(socket, (connection) => this.#accept(new SocketTransport(connection)));
    const managed = isManaged(process.env, process.pid, process.ppid);
    const record = { pid: process.pid, ...thisInstallation, startedAt: this.#startedAt, socket, managed };
    writeDaemonRecord(this.#home, record);
    noteStart(this.#home);
    this.#log.info('daemon up', { version, build, machine: this.#identity.id, socket });
    this.#upgrades.start();
    this.#keeper.start();
    await this.#stopped;
    await this.#close(server);
    this.#log.info('daemon down');
  }

  /** Flags of the start become settings, so that the next start needs none; they are saved once the start succeeded. */
  #adopt({ gateway, listen, labels, ways }: DaemonOptions): void {
    if (ways) this.#config.try(ways);
    if (gateway !== undefined) {
      this.#config.try({ gateway: gateway === 'embedded' ? undefined : parseGatewayUrl(gateway) });
    }
    if (listen !== undefined) {
      mayListen(this.#config.current, listen);
      this.#config.try({ listen });
    }
    if (labels) this.#config.try({ labels: { ...this.#config.current.labels, ...labels } });
  }

  #accept(transport: Transport): void {
    const peer: Peer = new Peer(transport, {
      face: 'daemon',
      software: version,
      serve: (call) => this.#router.serve(call, this.#localUser()),
      closed: () => this.#local.delete(peer),
    });
    this.#local.add(peer);
  }

  #linkOpened(remote: Member, transport: Transport): void {
    const budget = new RequestBudget(performance.now());
    const peer: Peer = new Peer(transport, {
      face: 'daemon',
      software: version,
      serve: (call) => {
        try {
          budget.take(performance.now());
        } catch (error) {
          if (budget.exhausted) {
            this.#log.warn('a machine asks without end; its link is ended', { machine: remote.name });
            peer.close(NiiaError.from(error));
          }
          throw error;
        }
        return this.#serveMember(call, remote.id);
      },
      closed: () => this.#machines.disconnected(remote.id, peer),
    });
    this.#machines.connected(remote.id, peer);
  }

  /** The role is looked up for each request: a change of role counts from the next one on. */
  async #serveMember(call: IncomingCall, id: string): ReturnType<Router['serve']> {
    const member = this.#team.current.members.get(id);
    if (!member) throw new NiiaError('not_a_member', 'this machine is no longer a member of the team');
    const { name, role } = member;
    return await this.#router.serve(call, { kind: 'machine', id, name, role });
  }

  #localUser(): Principal {
    const name = this.#team.self?.name ?? this.#identity.name;
    return { kind: 'local', id: this.#identity.id, name, role: 'admin' };
  }

  #runTeam(): RunTeam {
    const machines = (): Machines => this.#machines;
    return {
      self: () => ({ id: this.#identity.id, name: this.#team.self?.name ?? this.#identity.name }),
      list: () => machines().list(),
      find: (machine) => machines().find(machine),
      call: async (machine, method, params, options) =>
        typedCall(await machines().peer(machines().find(machine), undefined, runPatienceMs), method, params, options),
      onChange: (listener) => machines().changes.subscribe(listener),
    };
  }

  #report(): MachineReport {
    return {
      version,
      platform,
      headless: this.#servers.all.length > 0 ? 'running' : 'stopped',
      sessions: this.#servers.liveSessions,
      labels: this.#config.current.labels,
    };
  }

  async #status(): Promise<DaemonStatus> {
    const [headless, disk] = await Promise.all([
      this.#servers.info(),
      diskReport(this.#home, this.#config.current, this.#servers.sessions),
    ]);
    const { current, self } = this.#team;
    const others = [...current.members.values()].filter((member) => member.id !== this.#identity.id);
    return {
      machine: {
        name: self?.name ?? this.#identity.name,
        id: this.#identity.id,
        role: self?.role ?? 'viewer',
        labels: this.#config.current.labels,
      },
      version,
      build,
      platform,
      pid: process.pid,
      home: this.#home.root,
      startedAt: this.#startedAt,
      team: { ...current.team, members: current.members.size },
      gateway: this.#network.gatewayStatus,
      links: others.map(({ name, id }) => ({ machine: name, id, ...this.#network.link(id) })),
      headless,
      unreached: this.#servers.unreached,
      sessions: this.#servers.liveSessions,
      disk,
    };
  }

  /** Ends what is to end with it; the daemon ends once the answer is out. */
  async #stopSoon(sessions: boolean): Promise<{ sessionsEnded: number; serversEnded: number[] }> {
    this.#keeper.close();
    await this.#servers.settled();
    const sessionsEnded = sessions ? await this.#servers.stopAll() : 0;
    const serversEnded = sessions ? [] : await this.#keeper.dismiss();
    setImmediate(() => this.#stop());
    return { sessionsEnded, serversEnded };
  }

  async #close(server: Server): Promise<void> {
    rmSync(daemonRecordFile(this.#home), { force: true });
    server.close();
    this.#upgrades.close();
    this.#policies.close();
    this.#sessionSockets.close();
    await this.#runs.close();
    await this.#attempts.close();
    await this.#keeper.dismiss();
    this.#membership.close();
    this.#machines.close();
    this.#known.close();
    await this.#network.close('the daemon stops');
    this.#servers.close();
    this.#reportChanges.close();
    for (const peer of this.#local) peer.close(new NiiaError('link_lost', 'the daemon stops'));
  }
}
