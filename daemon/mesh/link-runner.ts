import { NiiaError } from '../../shared/errors.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { Member, SignedStatement } from '../team/roster.ts';
import { Link, type LinkOptions } from './link.ts';
import type { LinkAction } from './link-action.ts';
import { describePath } from './link-path-notes.ts';
import type { LinkStats } from './link-transfer.ts';
import { LinkTransport } from './link-transport.ts';

/** Time as a link sees it. */
export interface LinkClock {
  /** Milliseconds; never goes back. */
  now(): number;
  /** Calls `run` once after `ms`; what it returns prevents that. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: LinkClock = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** Timers longer than this overflow in Node. */
const longestTimer = 2 ** 31 - 1;

export interface LinkStatus {
  /** `up`: open over a path that works. `waiting`: open, and no path works. `connecting`: being opened. */
  state: 'up' | 'connecting' | 'waiting' | 'down';
  path: PathKind | null;
  /** Round trip of that path in milliseconds. */
  rttMs: number | null;
  /** When state or path last changed, ISO 8601. */
  since: string | null;
  /** The kind of path that data uses whenever one works; null while the ranking decides. */
  preferred: PathKind | null;
  candidates: LinkCandidate[];
}

/** One path of a link. */
export interface LinkCandidate {
  kind: PathKind;
  state: string;
  rttMs: number | null;
  /** Why it is, or is not, the one that is used. */
  note: string;
  /** When the path came, ISO 8601. */
  since: string;
}

export interface LinkFigures extends LinkStats {
  /** Bytes that are not acknowledged. */
  buffered: number;
  /** How often data moved to another path. */
  switches: number;
}

export interface LinkRunnerOptions {
  link: LinkOptions;
  clock: LinkClock;
  opened(remote: Member, transport: Transport): void;
  offer(statements: readonly SignedStatement[]): void;
  changed(): void;
}

/** Runs one link: carries out what it decides on real transports, gives it the time, and wakes it when it wants. */
export class LinkRunner {
  readonly link: Link;
  readonly #o: LinkRunnerOptions;
  readonly #transports = new Map<number, Transport>();
  /** When each path came. */
  readonly #came = new Map<number, string>();
  #nextPath = 1;
  #user: LinkTransport | undefined;
  #draining = false;
  #cancelTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #since: string | null = null;
  #lastSeen = '';

  constructor(options: LinkRunnerOptions) {
    this.#o = options;
    this.link = new Link(options.link);
  }

  get paths(): number {
    return this.#transports.size;
  }

  /** Takes the transport over: it is closed with the link. */
  addPath(kind: PathKind, transport: Transport): void {
    const id = this.#nextPath++;
    this.#transports.set(id, transport);
    this.#came.set(id, new Date().toISOString());
    transport.start({
      message: (bytes) => {
        this.link.receive(id, bytes, this.#o.clock.now());
        this.#drain();
      },
      writable: () => this.#drain(),
      closed: () => this.#pathDown(id),
    });
    // It may have been dead on arrival.
    if (!this.#transports.has(id)) return;
    this.link.pathUp(id, kind, this.#o.clock.now());
    this.#drain();
  }

  prefer(kind: PathKind | null): void {
    this.link.prefer(kind, this.#o.clock.now());
    this.#drain();
  }

  rosterChanged(): void {
    this.link.rosterChanged(this.#o.clock.now());
    this.#drain();
  }

  close(error: NiiaError): void {
    this.link.close(error, this.#o.clock.now());
    this.#drain();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (const [id, transport] of [...this.#transports]) {
      this.#transports.delete(id);
      transport.close(error);
    }
  }

  get state(): Pick<LinkStatus, 'state' | 'path'> {
    const { open, connecting, error, paths } = this.link;
    if (open) return paths.active?.works ? { state: 'up', path: paths.active.kind } : { state: 'waiting', path: null };
    return { state: connecting || (paths.size > 0 && !error) ? 'connecting' : 'down', path: null };
  }

  status(): LinkStatus {
    const { open, error, paths } = this.link;
    const { state, path } = this.state;
    const why = !open && error ? error.message : '';
    return {
      state,
      path,
      rttMs: path ? rounded(paths.active?.rttMs ?? null) : null,
      since: this.#since,
      preferred: paths.preferred,
      candidates: [...paths].map((path) => {
        const { state, note } = describePath(path, paths, this.#o.clock.now());
        const since = this.#came.get(path.id) ?? '';
        return { kind: path.kind, state, rttMs: rounded(path.rttMs), note: why || note, since };
      }),
    };
  }

  figures(): LinkFigures {
    return { ...this.link.stats, buffered: this.link.buffered, switches: this.link.paths.switches };
  }

  #pathDown(id: number): void {
    if (!this.#transports.delete(id)) return;
    this.#came.delete(id);
    this.link.pathDown(id, this.#o.clock.now());
    this.#drain();
  }

  /** Does what the link wants done, until it wants nothing. What that causes in turn is done by the same loop. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      while (this.#step());
    } finally {
      this.#draining = false;
      this.#arm();
    }
  }

  #step(): boolean {
    const action = this.link.nextAction();
    if (action) {
      this.#perform(action);
      return true;
    }
    const { active } = this.link.paths;
    const transport = active && this.#transports.get(active.id);
    if (!transport?.writable) return false;
    const data = this.link.takeData(this.#o.clock.now());
    if (data) transport.send(data.head, data.body);
    return data !== undefined;
  }

  #perform(action: LinkAction): void {
    switch (action.do) {
      case 'send':
        this.#transports.get(action.path)?.send(action.head, action.body);
        return;
      case 'deliver':
        this.#user?.delivered(action.message);
        return;
      case 'writable':
        this.#user?.drained();
        return;
      case 'opened':
        this.#user = this.#newUser();
        this.#o.opened(action.member, this.#user);
        return;
      case 'closed': {
        const user = this.#user;
        this.#user = undefined;
        user?.ended(action.error);
        return;
      }
      case 'offer':
        this.#o.offer(action.statements);
        return;
      case 'close-path': {
        const transport = this.#transports.get(action.path);
        this.#pathDown(action.path);
        transport?.close(new NiiaError('link_lost', 'this path is of no use to the link'));
        return;
      }
      case 'changed':
        this.#noteChange();
    }
  }

  #newUser(): LinkTransport {
    const { link } = this;
    const now = () => this.#o.clock.now();
    const user: LinkTransport = new LinkTransport({
      get writable() {
        return link.writable;
      },
      send: (head, body) => {
        link.send(head, body, now());
        this.#drain();
      },
      hangUp: (error) => {
        if (this.#user !== user) return;
        link.hangUp(error ? NiiaError.from(error) : new NiiaError('link_lost', 'the other side hung up'), now());
        this.#drain();
      },
    });
    return user;
  }

  #noteChange(): void {
    const { state, path } = this.state;
    const seen = `${state} ${path}`;
    if (seen !== this.#lastSeen) this.#since = new Date().toISOString();
    this.#lastSeen = seen;
    this.#o.changed();
  }

  /** A timer that fires early does no harm, so it is moved only forward. */
  #arm(): void {
    const at = this.link.deadline;
    if (at >= this.#timerAt && this.#cancelTimer) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timerAt = at;
    const wait = Math.ceil(at - this.#o.clock.now());
    this.#cancelTimer = this.#o.clock.after(Math.max(0, Math.min(wait, longestTimer)), () => {
      this.#cancelTimer = undefined;
      this.link.tick(this.#o.clock.now());
      this.#drain();
    });
  }
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 100) / 100;
}
