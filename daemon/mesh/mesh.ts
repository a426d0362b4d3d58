import { NiiaError } from '../../shared/errors.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { Log } from '../home/log.ts';
import { version } from '../home/version.ts';
import type { Identity } from '../team/identity.ts';
import { NoiseHandshake } from '../team/noise.ts';
import type { Member, Roster, SignedStatement } from '../team/roster.ts';
import type { LinkOptions } from './link.ts';
import { nodeLinkCrypto } from './link-crypto.ts';
import { type LinkClock, type LinkFigures, LinkRunner, type LinkStatus, systemClock } from './link-runner.ts';
import type { LinkHandshake } from './link-setup.ts';

export interface MeshOptions {
  identity: Pick<Identity, 'id' | 'noise'>;
  /** The roster as it is now. */
  roster: () => Roster;
  /** Another machine has a chain that may be better than ours. Whoever owns ours decides, then calls `rosterChanged`. */
  offerRoster: (statements: readonly SignedStatement[]) => void;
  /** A link to a member opened. The transport ends with the session; a new one comes with the next. */
  opened: (remote: Member, transport: Transport) => void;
  /** `status` of this machine may show something else now. */
  changed: (machineId: string) => void;
  log: Pick<Log, 'debug' | 'info'>;
  clock?: LinkClock;
  /** Milliseconds without a word after which a link is given up (a day unless said); the rest is for tests. */
  tuning?: Partial<Pick<LinkOptions, 'dropMs' | 'framesPerKey' | 'crypto'>>;
}

const nowhere: LinkStatus = { state: 'down', path: null, rttMs: null, since: null, preferred: null, candidates: [] };

/** The links of this machine, one to each other machine to which it has, or had, a path. */
export class Mesh {
  readonly #o: MeshOptions;
  readonly #links = new Map<string, LinkRunner>();
  readonly #preferred = new Map<string, PathKind>();
  #closed: NiiaError | undefined;

  constructor(options: MeshOptions) {
    this.#o = options;
  }

  /** One more way to a machine, which is taken over. Whether the machine is who it is said to be is for the link to find out. */
  addPath(machineId: string, kind: PathKind, transport: Transport): void {
    if (this.#closed || machineId === this.#o.identity.id) {
      transport.close(this.#closed);
      return;
    }
    let link = this.#links.get(machineId);
    if (!link) {
      link = this.#newLink(machineId);
      link.prefer(this.#preferred.get(machineId) ?? null);
      this.#links.set(machineId, link);
    }
    link.addPath(kind, transport);
  }

  status(machineId: string): LinkStatus {
    return this.#links.get(machineId)?.status() ?? { ...nowhere, preferred: this.#preferred.get(machineId) ?? null };
  }

  /**
   * Data to a machine uses this kind of path whenever one works, until said otherwise; null leaves it to the ranking.
   * May be called before there is any path. The other machine sends that way too, unless it has a preference of its own.
   */
  prefer(machineId: string, kind: PathKind | null): void {
    if (kind) this.#preferred.set(machineId, kind);
    else this.#preferred.delete(machineId);
    this.#links.get(machineId)?.prefer(kind);
  }

  /** Counts since the first path to this machine, and the bytes that it has not acknowledged. */
  figures(machineId: string): LinkFigures | undefined {
    return this.#links.get(machineId)?.figures();
  }

  /** Links to machines that are no members any more end; the others learn of the new roster. */
  rosterChanged(): void {
    for (const [id, link] of [...this.#links]) {
      link.rosterChanged();
      this.#forgetIdle(id);
    }
  }

  /** Ends all links, telling the other sides why, and closes their paths. */
  close(reason: NiiaError): void {
    if (this.#closed) return;
    this.#closed = reason;
    for (const link of this.#links.values()) link.close(reason);
    this.#links.clear();
  }

  #newLink(remote: string): LinkRunner {
    const { identity, roster, log, clock, tuning } = this.#o;
    const who = () => roster().members.get(remote)?.name ?? remote;
    let state = '';
    return new LinkRunner({
      link: {
        // Both sides must agree on who begins, and ids are all that they are sure to know.
        initiator: identity.id < remote,
        software: version,
        crypto: nodeLinkCrypto,
        membership: { roster, self: identity.id, remote },
        handshake: (initiator) => this.#handshake(remote, initiator),
        ...tuning,
      },
      clock: clock ?? systemClock,
      opened: (member, transport) => {
        log.info('a link opened', { to: member.name });
        this.#o.opened(member, transport);
      },
      offer: this.#o.offerRoster,
      changed: () => {
        const link = this.#links.get(remote);
        const status = link?.state ?? nowhere;
        const now = `${status.state} ${status.path ?? ''}`;
        if (now !== state) {
          state = now;
          log.debug('a link changed', { to: who(), state: status.state, path: status.path, error: link?.link.error });
        }
        this.#forgetIdle(remote);
        this.#o.changed(remote);
      },
    });
  }

  #handshake(remote: string, initiator: boolean): LinkHandshake | undefined {
    const roster = this.#o.roster();
    const prologue = Buffer.from(`niia link 1\n${roster.team.id}`);
    const staticKey = this.#o.identity.noise;
    if (!initiator) return new NoiseHandshake({ pattern: 'IK', initiator, staticKey, prologue });
    const member = roster.members.get(remote);
    const remoteStatic = member && Buffer.from(member.noiseKey, 'base64url');
    if (remoteStatic?.length !== 32) return undefined;
    return new NoiseHandshake({ pattern: 'IK', initiator, staticKey, remoteStatic, prologue });
  }

  /** A machine that is no member and has no path left is not remembered. */
  #forgetIdle(id: string): void {
    const link = this.#links.get(id);
    if (!link || link.paths > 0 || link.link.open || this.#o.roster().members.has(id)) return;
    this.#links.delete(id);
    link.close(new NiiaError('link_lost', 'the other machine is gone'));
  }
}
