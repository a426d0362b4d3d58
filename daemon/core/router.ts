import { NiiaError } from '../../shared/errors.ts';
import type { DaemonMethod, HeadlessMethod, MethodName } from '../../shared/protocol/methods.ts';
import { isMethod, methods } from '../../shared/protocol/methods.ts';
import type { AttachEvent } from '../../shared/protocol/session-methods.ts';
import type { IncomingCall, Principal, Reply } from '../../shared/rpc/call.ts';
import { forward } from '../../shared/rpc/forward.ts';
import type { Handlers } from '../../shared/rpc/server.ts';
import { dispatch } from '../../shared/rpc/server.ts';
import type { ConfigStore } from '../home/config.ts';
import { version } from '../home/version.ts';
import type { AuditLog } from './audit.ts';
import type { Machines } from './machines.ts';
import { authorize } from './policy.ts';
import { authorizeSession } from './session-rights.ts';
import type { Sessions } from './sessions.ts';

export interface RouterOptions {
  self: string;
  machines: Pick<Machines, 'find' | 'peer' | 'onWaiting'>;
  sessions: Pick<Sessions, 'serve'>;
  handlers: Handlers<DaemonMethod, Principal>;
  config: Pick<ConfigStore, 'current'>;
  audit: Pick<AuditLog, 'record'>;
}

/**
 * Where every request goes, whichever door it came through: to another machine of the team down that machine's link, or
 * to this machine, once it is clear that the asker may.
 */
export class Router {
  readonly #o: RouterOptions;

  constructor(options: RouterOptions) {
    this.#o = options;
  }

  async serve(call: IncomingCall, principal: Principal): Promise<Reply> {
    const { m: method, to } = call.header;
    if (!isMethod(method)) {
      throw this.#unknown(method, principal);
    }
    if (principal.session !== undefined) this.#asSession(call, method, principal, principal.session);
    if (to !== undefined) {
      const machine = this.#o.machines.find(to);
      if (machine.id !== this.#o.self) {
        // A machine speaks for itself only: it passes on what its own user asks, never what another machine does.
        if (principal.kind !== 'local') throw new NiiaError('denied', 'requests are not passed on for other machines');
        return await this.#remote(call, method, machine);
      }
    }
    return await this.#local(call, method, principal);
  }

  /** A request of a later version: whoever asks learns which side is the older, and what brings it up to date. */
  #unknown(method: string, principal: Principal): NiiaError {
    const { name } = this.#o.machines.find(this.#o.self);
    return new NiiaError(
      'unknown_method',
      `the daemon of ${name} is niia ${version}, which does not know "${method.slice(0, 64)}"`,
      principal.kind === 'local'
        ? 'Bring it to the version of your command: niia upgrade'
        : `Upgrade it, from a machine with a later version: niia remote upgrade ${name}`,
    );
  }

  /** What a program inside a session asks, it asks for that session: less than its machine's user may. */
  #asSession(call: IncomingCall, method: MethodName, principal: Principal, session: string): void {
    const { header } = call;
    try {
      authorizeSession(method, header.p, session, this.#o.config.current);
    } catch (error) {
      if (error instanceof NiiaError && error.code === 'denied') this.#audit(call, principal, error.message);
      throw error;
    }
    if (method !== 'session.prompt' && method !== 'session.answer') return;
    header.p = { ...(typeof header.p === 'object' ? header.p : {}), careful: true };
  }

  async #remote(call: IncomingCall, method: MethodName, machine: ReturnType<Machines['find']>): Promise<Reply> {
    const peer = await this.#o.machines.peer(machine, call.signal);
    const tellViewer = (): void => call.emit({ type: 'waiting' } satisfies AttachEvent);
    const stop = method === 'session.attach' ? this.#o.machines.onWaiting(machine.id, tellViewer) : undefined;
    try {
      return await forward(call, peer);
    } catch (error) {
      if (error instanceof NiiaError && error.code === 'link_lost' && !methods[method].changes) {
        throw new NiiaError(
          'offline',
          `the link to ${machine.name} was lost`,
          'Try again; see: niia remote status list',
          { cause: error },
        );
      }
      throw error;
    } finally {
      stop?.();
    }
  }

  async #local(call: IncomingCall, method: MethodName, principal: Principal): Promise<Reply> {
    try {
      authorize(method, call.header.p, principal, this.#o.config.current);
      const reply = await this.#answer(call, method, principal);
      return reply;
    } catch (error) {
      if (error instanceof NiiaError && error.code === 'denied') this.#audit(call, principal, error.message);
      throw error;
    }
  }

  async #answer(call: IncomingCall, method: MethodName, principal: Principal): Promise<Reply> {
    if (methods[method].changes) this.#audit(call, principal);
    if (isHeadless(method)) return await this.#o.sessions.serve(method, call, principal);
    if (isDaemon(method)) return await dispatch(this.#o.handlers, method, call, principal);
    throw new NiiaError('unknown_method', `nobody serves ${method}`);
  }

  #audit(call: IncomingCall, principal: Principal, refused?: string): void {
    const { kind, id, name, role } = principal;
    this.#o.audit.record({
      at: new Date().toISOString(),
      who: { kind, id, name, role },
      method: call.header.m,
      subject: subject(call),
      outcome: refused === undefined ? 'allowed' : 'refused',
      ...(refused === undefined ? {} : { why: refused }),
    });
  }
}

/** What a request is about, for the audit log: names and commands, never what is typed. */
function subject(call: IncomingCall): string {
  const { p } = call.header;
  if (typeof p !== 'object' || p === null) return '';
  // What was signed says it all: which version, for whom, by whom.
  if ('signed' in p && typeof p.signed === 'object' && p.signed !== null && 'body' in p.signed) {
    return String(p.signed.body).slice(0, 2_000);
  }
  const told = [
    'session',
    'name',
    'argv',
    'command',
    'machine',
    'role',
    'key',
    'signal',
    'readOnly',
    'id',
    'offer',
    'into',
    'names',
    'sources',
    ...['run', 'worker', 'epoch', 'check', 'file', 'model'],
  ];
  const parts = Object.entries(p).filter(([key, value]) => told.includes(key) && value !== undefined);
  // What goes into an environment is often a key.
  const withoutKeys = (name: string, value: unknown): unknown => (name === 'env' ? undefined : value);
  return parts.length === 0 ? '' : JSON.stringify(Object.fromEntries(parts), withoutKeys).slice(0, 2_000);
}

function isHeadless(method: MethodName): method is HeadlessMethod {
  return methods[method].at === 'headless';
}

function isDaemon(method: MethodName): method is DaemonMethod {
  return methods[method].at === 'daemon';
}
