import { randomUUID } from 'node:crypto';
import { constants } from 'node:os';
import { NiiaError } from '../../shared/errors.ts';
import type { HeadlessMethod, ResultOf } from '../../shared/protocol/methods.ts';
import type { Principal } from '../../shared/rpc/call.ts';
import type { Handlers, ServedCall } from '../../shared/rpc/server.ts';
import { version } from '../home/version.ts';
import { printable } from '../workers/state/program-status.ts';
import { requireKill, requireRole } from './access.ts';
import type { Asks } from './ask.ts';
import { explained } from './explained.ts';
import { probeTerminal } from './probe.ts';
import { workerHandlers } from './prompting/handlers.ts';
import type { PromptDesk } from './prompting/prompt-desk.ts';
import type { Approvals } from './prompting/questions.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';
import { tail } from './tail.ts';
import { Viewer } from './viewer.ts';
import { wait } from './wait.ts';
import { watchSessions } from './watch.ts';

export interface Context {
  who: Principal;
  /** This machine's name. */
  machine: string;
  sessions: Sessions;
  prompts: PromptDesk;
  approvals: Approvals;
  asks: Asks;
  /** Viewers that are attached, by session and client. */
  viewers: Map<string, Viewer>;
  generation: string;
  startedAt: string;
  /** Ends sessions and commands, and the server once this call is answered; resolves with the number of sessions. */
  stop(): Promise<number>;
}

/** A signal that was sent ends the process, if at all, within this time. */
const signalTakesMs = 2000;

/** What a request's key stands for: keys of different askers have nothing to do with each other. */
function keyOf(call: { key: string | undefined }, context: Context): string | undefined {
  return call.key === undefined ? undefined : `${context.who.id}:${call.key}`;
}

export const handlers: Handlers<HeadlessMethod, Context> = {
  ...workerHandlers,

  'session.new': (call, context) => {
    const session = context.sessions.create(call.params, context.who.id, context.machine, keyOf(call, context));
    return {
      session: session.id,
      machine: context.machine,
      name: session.name,
      pid: session.meta.pid,
      restore: session.meta.restore,
    };
  },

  'session.list': (_, { sessions }) => ({ sessions: sessions.list() }),

  'session.watch': (call, { sessions }) => watchSessions(sessions, call),

  'session.kill': async (call, { who, sessions, machine }) => {
    const session = sessions.choose(call.params.session);
    requireKill(who, { id: session.id, owner: session.meta.owner });
    const { signal } = call.params;
    if (signal === undefined) {
      sessions.restorer.unmark(session);
      await session.end();
    } else await sendSignal(session, signal);
    return { session: session.id, machine, state: session.state().state, ...session.exit };
  },

  'session.lease': (call, { sessions }) => {
    const { session, until, release } = call.params;
    return { frozen: sessions.lease(sessions.choose(session), release ? undefined : until) };
  },

  'session.rename': (call, { sessions, machine }) => {
    const session = sessions.choose(call.params.session);
    sessions.rename(session, call.params.name);
    return { session: session.id, machine, name: session.name };
  },

  'session.write': (call, context) => write(call, context),

  'session.read': async (call, { sessions, machine }) => {
    const session = sessions.choose(call.params.session);
    const screen = await session.text(call.params.scrollback ?? 0);
    const { state, evidence } = session.state();
    return { session: session.id, machine, ...screen, state, evidence };
  },

  'session.tail': (call, { sessions, machine }) => tail(sessions.choose(call.params.session), call, machine),

  'session.wait': (call, { sessions, machine }) => wait(sessions.choose(call.params.session), call, machine),

  'session.attach': async (call, context) => {
    const { params } = call;
    const { who, machine, sessions, viewers } = context;
    requireRole(who, params.readOnly && !params.create ? 'viewer' : 'operator', 'type into a session');
    const session = params.create
      ? sessions.chooseOrCreate(params.session, params.cwd, who.id, machine)
      : sessions.choose(params.session);
    const client = `${who.id}:${params.client}`;
    const place = `${session.id}:${client}`;
    // A client that comes back takes the place of its connection that broke.
    viewers.get(place)?.replace();
    const viewer = new Viewer(session, call, client, machine);
    viewers.set(place, viewer);
    try {
      return await viewer.run();
    } finally {
      if (viewers.get(place) === viewer) viewers.delete(place);
    }
  },

  'session.explain': (call, { sessions, machine }) => {
    const session = sessions.choose(call.params.session);
    return { session: session.id, machine, ...explained(session) };
  },

  'session.report': (call, { sessions, machine }) => {
    const { token, state, message = '' } = call.params;
    const session = sessions.choose(call.params.session);
    if (!session.tracking || !session.isInside(token)) {
      throw new NiiaError(
        'denied',
        `only what runs inside the session ${session.id} may report its state`,
        'niia report works in a session, with the environment that the session started with.',
      );
    }
    session.tracking.report(state === 'unknown' ? undefined : { state, message: printable(message, 500) });
    return { session: session.id, machine, state: session.state().state };
  },

  'machine.ask': async (call, context) => {
    requireRole(context.who, 'operator', 'run commands');
    return await context.asks.run(call, context.machine, keyOf(call, context));
  },

  'headless.holdsAsk': (call, context) => ({ holds: context.asks.holds(`${context.who.id}:${call.params.key}`) }),

  'headless.info': (_, { generation, startedAt, sessions }) => ({
    generation,
    pid: process.pid,
    version,
    startedAt,
    sessions: sessions.liveCount,
    rssBytes: process.memoryUsage.rss(),
  }),

  'headless.probe': async (_, { generation }) => ({ generation, output: await probeTerminal() }),

  'headless.retire': async (_, { sessions, asks, stop }) => {
    if (sessions.liveCount > 0 || asks.count > 0) return { retired: false, pid: process.pid };
    await stop();
    return { retired: true, pid: process.pid };
  },

  'headless.adopt': async ({ params, signal }, { sessions }) => {
    await sessions.adopt(params.after, signal);
    return {};
  },

  'headless.stop': async (_, context) => ({ ended: await context.stop() }),
};

async function write(call: ServedCall<'session.write'>, context: Context): Promise<ResultOf<'session.write'>> {
  const { sessions, who, machine } = context;
  const { params, body } = call;
  const key = keyOf(call, context);
  const known = key === undefined ? undefined : sessions.receipts.find(key);
  if (known) return await known;
  const session = params.create
    ? sessions.chooseOrCreate(params.session, params.cwd, who.id, machine)
    : sessions.choose(params.session);
  const outputOffset = session.log.end;
  session.type(body);
  const result = { session: session.id, machine, bytes: body.length, receipt: randomUUID(), outputOffset };
  return key === undefined ? result : await sessions.receipts.record(key, session, result);
}

async function sendSignal(session: Session, name: string): Promise<void> {
  if (!isSignal(name)) throw new NiiaError('usage', `${name} is not a signal of this system`, 'SIGTERM is one.');
  session.signal(name);
  if (name !== 'SIGKILL') return;
  let timer: NodeJS.Timeout | undefined;
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, signalTakesMs);
  });
  await Promise.race([session.exited, waited]);
  clearTimeout(timer);
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}
