import { NiiaError } from '../../shared/errors.ts';
import type { HeadlessMethod } from '../../shared/protocol/methods.ts';
import type { SessionInfo } from '../../shared/protocol/shapes.ts';
import type { IncomingCall, Principal, Reply, RequestHeader } from '../../shared/rpc/call.ts';
import { ask } from '../../shared/rpc/client.ts';
import { forward } from '../../shared/rpc/forward.ts';
import type { HeadlessServer, HeadlessServers } from './headless-servers.ts';

/** Methods that span the generations of headless servers; every other goes to one of them. */
type Spanning = 'session.list' | 'session.watch' | 'session.approvals' | 'machine.ask';
type Route = (servers: HeadlessServers, session: string | undefined) => Promise<HeadlessServer>;

const toNewest: Route = async (servers) => (await servers.current()).server;
const toHolder: Route = (servers, session) => servers.having(session);

const routes: { [M in Exclude<HeadlessMethod, Spanning>]: Route } = {
  'session.new': toNewest,
  'session.kill': toHolder,
  'session.lease': toHolder,
  'session.rename': toHolder,
  'session.write': toHolder,
  'session.read': toHolder,
  'session.tail': toHolder,
  'session.wait': toHolder,
  'session.attach': toHolder,
  'headless.holdsAsk': toNewest,
  'session.explain': toHolder,
  'session.report': toHolder,
  'session.prompt': toHolder,
  'session.answer': toHolder,
  'session.approve': toHolder,
  'session.interrupt': toHolder,
  'headless.info': toNewest,
  'headless.stop': toNewest,
  'headless.probe': toNewest,
  'headless.retire': toNewest,
  'headless.adopt': toNewest,
};

/** Serves the requests that end in a headless server. */
export class Sessions {
  readonly #servers: HeadlessServers;
  readonly #machine: () => string;

  constructor(servers: HeadlessServers, machine: () => string) {
    this.#servers = servers;
    this.#machine = machine;
  }

  async serve(method: HeadlessMethod, call: IncomingCall, principal: Principal): Promise<Reply> {
    if (method === 'session.list') return { value: { sessions: await this.#list() } };
    if (method === 'session.watch') return await this.#watch(call);
    if (method === 'session.approvals') return await this.#approvals(call, principal);
    const server =
      method === 'machine.ask'
        ? await this.#holderOfAsk(call.header.k, principal)
        : await routes[method](this.#servers, sessionOf(call.header));
    return await forward(call, server.peer, { from: { machine: this.#machine(), principal } });
  }

  /** A command that is asked for again may run in the server of a former build; a new one starts in the newest. */
  async #holderOfAsk(key: string | undefined, principal: Principal): Promise<HeadlessServer> {
    const others = this.#servers.all.filter((server) => server.generation !== this.#servers.generation);
    if (key !== undefined) {
      const from = { machine: this.#machine(), principal };
      const held = await Promise.allSettled(
        others.map((server) => ask(server.peer, 'headless.holdsAsk', { key }, { from, deadlineMs: 5_000 })),
      );
      const at = held.findIndex((answer) => answer.status === 'fulfilled' && answer.value.holds);
      const holder = others[at];
      if (holder) return holder;
    }
    return await toNewest(this.#servers, undefined);
  }

  async #list(): Promise<SessionInfo[]> {
    // Sessions that ended with their server are told by the next one, so that none is lost from sight.
    if (this.#servers.all.length === 0 && this.#servers.hasHistory) await this.#servers.current();
    const lists = await Promise.all(
      this.#servers.all.map((server) => ask(server.peer, 'session.list', {}, { deadlineMs: 10_000 })),
    );
    return lists.flatMap((list) => list.sessions).sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }

  async #approvals(call: IncomingCall, principal: Principal): Promise<Reply> {
    const session = sessionOf(call.header);
    const from = { machine: this.#machine(), principal };
    const servers = session === undefined ? this.#servers.all : [await this.#servers.having(session)];
    const lists = await Promise.all(
      // A server of an earlier version does not know the question, and so has no answer to it.
      servers.map((server) =>
        ask(server.peer, 'session.approvals', { session }, { deadlineMs: 10_000, from }).catch((error: unknown) => {
          if (error instanceof NiiaError && error.code === 'unknown_method') return { questions: [] };
          throw error;
        }),
      ),
    );
    return { value: { questions: lists.flatMap((list) => list.questions) } };
  }

  async #watch(call: IncomingCall): Promise<Reply> {
    const emit = (): void => call.emit({ sessions: this.#servers.sessions });
    emit();
    const unsubscribe = this.#servers.changes.subscribe(emit);
    await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve(), { once: true }));
    unsubscribe();
    return { value: {} };
  }
}

function sessionOf(header: RequestHeader): string | undefined {
  const { p } = header;
  return typeof p === 'object' && p !== null && 'session' in p && typeof p.session === 'string' ? p.session : undefined;
}
