import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { DaemonMethod } from '../../shared/protocol/methods.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { DaemonStatus, MachineReport } from '../../shared/protocol/shapes.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Handlers } from '../../shared/rpc/server.ts';
import type { Attempts } from '../connector/attempts/attempts.ts';
import type { Runs } from '../connector/runs.ts';
import { examine } from '../doctor/doctor.ts';
import type { Copies } from '../files/copies.ts';
import type { ConfigStore } from '../home/config.ts';
import type { Home } from '../home/home.ts';
import { parseSize, sizeText } from '../home/size.ts';
import type { Upgrades } from '../lifecycle/upgrades.ts';
import { parseGatewayUrl } from '../mesh/gateway-url.ts';
import type { Address } from '../paths/address-book.ts';
import type { Member } from '../team/roster.ts';
import type { ApprovalPolicies } from './approval-policies.ts';
import { attemptHandlers } from './attempt-handlers.ts';
import type { HeadlessKeeper } from './headless-keeper.ts';
import type { HeadlessServers } from './headless-servers.ts';
import type { KnownMachines } from './known-machines.ts';
import { mayListen } from './listen-address.ts';
import type { Machines } from './machines.ts';
import type { Membership } from './membership.ts';
import type { Network } from './network.ts';
import { runHandlers } from './run-handlers.ts';
import { wakeHandlers } from './wake-handlers.ts';
import type { Changes } from './watch.ts';

/** Whoever sends a bundle hears that it arrives in steps of so many bytes. */
const progressBytes = 256 << 10;

export interface HandlersOptions {
  home: Home;
  /** This machine's id. */
  self: string;
  servers: HeadlessServers;
  keeper: HeadlessKeeper;
  machines: Machines;
  known: KnownMachines;
  membership: Membership;
  network: Network;
  upgrades: Upgrades;
  copies: Copies;
  attempts: Attempts;
  runs: Runs;
  config: ConfigStore;
  report: () => MachineReport;
  reportChanges: Changes;
  policies: ApprovalPolicies;
  status: () => Promise<DaemonStatus>;
  machineName: () => string;
  /** Ends the daemon once the answer is out. */
  stop: (sessions: boolean) => Promise<{ sessionsEnded: number; serversEnded: number[] }>;
}

/** What the daemon itself answers; sessions are the headless server's. */
export function daemonHandlers(o: HandlersOptions): Handlers<DaemonMethod, Principal> {
  return {
    'daemon.status': () => o.status(),
    'daemon.stop': async ({ params }) => ({ pid: process.pid, ...(await o.stop(params.sessions)) }),
    'machine.list': () => ({ machines: o.machines.list() }),
    'machine.watch': ({ emit, signal }) =>
      watch(o.machines.changes, () => emit({ machines: o.machines.list() }), signal),
    'machine.report': ({ emit, signal }) => watch(o.reportChanges, () => emit(o.report()), signal),
    'machine.start': async () => {
      const { server, started } = await o.servers.current();
      const infos = await o.servers.info();
      const pid = infos.find((info) => info.generation === server.generation)?.pid ?? 0;
      const restored = server.sessions.filter(({ restoredFrom, state }) => restoredFrom && state !== 'exited');
      return {
        machine: o.machineName(),
        headless: 'running',
        pid,
        started,
        restored: started ? restored.map(({ id }) => id) : [],
      };
    },
    'doctor.run': async () => await examine({ home: o.home }),
    'copy.look': (call) => o.copies.look(call),
    'copy.put': (call, asker) => o.copies.put(call, asker),
    'copy.get': (call, asker) => o.copies.get(call, asker),
    ...attemptHandlers(o),
    ...runHandlers(o.runs, () => o.self),
    ...wakeHandlers(o),
    'config.get': ({ params }) => ({ config: show(o.config, params.key) }),
    'config.set': async ({ params }) => {
      await set(o, params.key, params.value);
      return { config: show(o.config, undefined) };
    },
    'policy.list': () => ({ policies: o.policies.list() }),
    'policy.set': ({ params }) => ({ policies: o.policies.set(params) }),
    'policy.remove': ({ params }) => ({ policies: o.policies.remove(params.name) }),
    'team.show': () => o.membership.show(),
    'team.create': ({ params }) => o.membership.create(params.name, params.leave ?? false),
    'team.invite': ({ params }) => o.membership.invite(params.role, params.expiresMs),
    'team.join': ({ params, signal }) => o.membership.join(params.code, params.name, params.leave ?? false, signal),
    'team.role': ({ params }) => o.membership.setRole(params.machine, params.role),
    'team.remove': ({ params }) => o.membership.remove(params.machine),
    'path.show': ({ params }) => {
      const { name, id } = other(o, params.machine);
      const addresses = o.network.paths.book.of(id).map(shownAddress);
      return { machine: name, id, ...o.network.link(id), addresses, counts: o.network.figures(id) ?? null };
    },
    'path.pin': ({ params }) => {
      o.network.prefer(other(o, params.machine).id, params.path);
      return {};
    },
    'path.addAddress': ({ params }) => {
      const { name, id } = other(o, params.machine);
      o.network.paths.book.give(id, params.address);
      o.network.paths.addressesChanged(id);
      return { machine: name, addresses: o.network.paths.book.of(id).map(shownAddress) };
    },
    'path.removeAddress': ({ params }) => {
      const { name, id } = other(o, params.machine);
      if (!o.network.paths.book.forget(id, params.address)) {
        throw new NiiaError('usage', `${name} has no address ${params.address}`, `See: niia remote path ${name}`);
      }
      return { machine: name, addresses: o.network.paths.book.of(id).map(shownAddress) };
    },
    'machine.installation': () => o.upgrades.installation(),
    'upgrade.sign': ({ params: { machine, offer, allowDowngrade } }) =>
      o.upgrades.sign(o.machines.find(machine).id, offer, allowDowngrade),
    'upgrade.begin': ({ params }, asker) => o.upgrades.begin(params.signed, asker),
    'upgrade.send': ({ params, source, emit }, asker) => {
      let told = 0;
      return o.upgrades.send(params, asker, source(streams.input), (received) => {
        if (received - told < progressBytes) return;
        told = received;
        emit({ received });
      });
    },
    'upgrade.apply': ({ params }, asker) => o.upgrades.apply(params.id, asker),
    'upgrade.status': ({ params }) => o.upgrades.status(params.id),
    'path.signal': async ({ params }, asker) => {
      if (asker.kind !== 'machine') throw new NiiaError('denied', 'signals are for daemons among themselves');
      await o.network.paths.signalled(asker.id, params);
      return {};
    },
  };
}

function other(o: HandlersOptions, machine: string): Member {
  const member = o.machines.find(machine);
  if (member.id === o.self) throw new NiiaError('usage', `${member.name} is this machine: there is no path to it`);
  return member;
}

function shownAddress({ url, source, lastGoodAt }: Address): Pick<Address, 'url' | 'source' | 'lastGoodAt'> {
  return { url, source, lastGoodAt };
}

/** Emits now and after each change, until the asker goes. */
async function watch(changes: Changes, emit: () => void, signal: AbortSignal): Promise<Record<string, never>> {
  emit();
  const unsubscribe = changes.subscribe(emit);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  unsubscribe();
  return {};
}

const settings = [
  'ask',
  'workers',
  'gateway',
  'listen',
  'direct',
  'p2p',
  'lan',
  'guard',
  'disk',
  'disk.sessions',
  'label.NAME',
];

/** Settings as a person reads them: no secret, `embedded` where no gateway is set. */
function show(config: ConfigStore, key: string | undefined): Record<string, unknown> {
  const { gateway, listen, labels, ask, workers, direct, p2p, lan, guard, disk, keepSessions } = config.current;
  const where = { gateway: gateway?.urls[0] ?? 'embedded', listen: listen ?? null };
  const all: Record<string, unknown> = {
    ...{ ask, workers, ...where, direct, p2p, lan, guard },
    ...{ disk: sizeText(disk), 'disk.sessions': String(keepSessions) },
  };
  for (const [name, value] of Object.entries(labels)) all[`label.${name}`] = value;
  if (key === undefined) return all;
  if (!(key in all)) throw unknownSetting(key);
  return { [key]: all[key] };
}

async function set(o: HandlersOptions, key: string, value: string): Promise<void> {
  const { config, network } = o;
  if (key === 'ask') {
    const ask = v.safeParse(v.picklist(['operator', 'admin']), value);
    if (!ask.success) throw new NiiaError('usage', `ask is operator or admin, not "${value}"`);
    config.update({ ask: ask.output });
  } else if (key === 'workers') {
    const workers = v.safeParse(v.picklist(['see', 'prompt']), value);
    if (!workers.success) throw new NiiaError('usage', `workers is see or prompt, not "${value}"`);
    config.update({ workers: workers.output });
  } else if (key === 'gateway') {
    config.update({ gateway: value === 'embedded' ? undefined : parseGatewayUrl(value) });
    await network.restart('the gateway was changed');
  } else if (key === 'listen') {
    if (value !== '') mayListen(config.current, value);
    const before = config.current.listen;
    config.update({ listen: value === '' ? undefined : value });
    try {
      await network.restart('the address was changed');
    } catch (error) {
      config.update({ listen: before });
      await network.restart('the old address is taken up again');
      throw error;
    }
  } else if (key === 'direct' || key === 'p2p' || key === 'lan') {
    const switched = onOff(key, value);
    config.update({ [key]: switched });
    await network.restart(`${key} was switched ${switched}`);
  } else if (key === 'guard') {
    config.update({ guard: onOff(key, value) });
    o.keeper.reconsider();
  } else if (key === 'disk') {
    config.update({ disk: parseSize(value, key) });
    o.keeper.tidy();
  } else if (key === 'disk.sessions') {
    if (!/^[1-9]\d{0,4}$/.test(value)) throw new NiiaError('usage', `${key} is a number from 1 on, not "${value}"`);
    config.update({ keepSessions: Number(value) });
    o.keeper.tidy();
  } else if (key.startsWith('label.') && key.length > 'label.'.length) {
    const { [key.slice('label.'.length)]: _, ...others } = config.current.labels;
    config.update({ labels: value === '' ? others : { ...others, [key.slice('label.'.length)]: value } });
    o.reportChanges.notify();
  } else {
    throw unknownSetting(key);
  }
}

function onOff(key: string, value: string): 'on' | 'off' {
  if (value === 'on' || value === 'off') return value;
  throw new NiiaError('usage', `${key} is on or off, not "${value}"`);
}

function unknownSetting(key: string): NiiaError {
  return new NiiaError('usage', `there is no setting "${key}"`, `Settings: ${settings.join(', ')}`);
}
