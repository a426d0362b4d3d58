import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { Role } from '../../shared/protocol/shapes.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import type { Log } from '../home/log.ts';
import type { Identity } from './identity.ts';
import type { Change, Member, SignedStatement } from './roster.ts';
import { Roster, signedStatementSchema } from './roster.ts';

export interface TeamStoreOptions {
  home: Home;
  identity: Identity;
  log: Log;
  /** Name of the team of one that a fresh home gets; default: the machine's name and `-team`. */
  freshName?: (machine: string) => string;
  /** The clock that statements are dated by. */
  now?: () => Date;
}

/** More members than this do not wait for their addition to be signed again. */
const mostWaiting = 64;

const fileSchema = v.object({ version: v.literal(1), statements: v.array(signedStatementSchema) });

/** The roster of this machine's team, kept in `team/roster.json`. The only place where it changes. */
export class TeamStore {
  readonly #home: Home;
  readonly #identity: Identity;
  readonly #log: Log;
  readonly #now: () => Date;
  readonly #path: string;
  readonly #listeners = new Set<() => void>();
  #current: Roster;
  /** Members whom we added on a branch that lost, while the winner does not let us sign: another, or what follows, may. */
  #waiting: Change[] = [];

  private constructor(options: TeamStoreOptions) {
    this.#home = options.home;
    this.#identity = options.identity;
    this.#log = options.log;
    this.#now = options.now ?? (() => new Date());
    options.home.folder('team');
    this.#path = options.home.path('team', 'roster.json');
    const kept = readRoster(this.#path);
    if (kept) {
      this.#current = kept;
      return;
    }
    const { name } = options.identity;
    this.#current = this.#newTeam(options.freshName?.(name) ?? `${name.slice(0, 58)}-team`, name);
    this.#persist(this.#current);
  }

  /** The team that the home knows; a fresh home gets a team of one. Throws `io` where the file is damaged. */
  static open(options: TeamStoreOptions): TeamStore {
    return new TeamStore(options);
  }

  get current(): Roster {
    return this.#current;
  }

  /** This machine as a member; undefined once it was removed. */
  get self(): Member | undefined {
    return this.#current.members.get(this.#identity.id);
  }

  get role(): Role | undefined {
    return this.self?.role;
  }

  /**
   * Looks at a chain that somebody else has. `adopted`: it took the place of ours, and what we had signed on a branch
   * that lost is signed again on top of it, as soon as the winner lets us. `same`: ours is that chain, or one that wins over it. `refused`: it is not
   * valid, or of another team.
   */
  consider(statements: readonly SignedStatement[]): 'same' | 'adopted' | 'refused' {
    const old = this.#current;
    if (statements.length <= old.length && statements.every(({ body }, seq) => body === old.statements[seq]?.body)) {
      return statements.length === 0 ? 'refused' : 'same';
    }
    let offered: Roster;
    try {
      offered = Roster.verify(statements, old);
    } catch (error) {
      this.#log.warn('a roster was refused', { error });
      return 'refused';
    }
    if (offered.team.id !== old.team.id) return 'refused';
    if (!old.losesTo(offered)) return 'same';
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#current = this.#signAgain([...waiting, ...old.lostTo(offered, this.#identity.id)], offered);
    try {
      this.#persist(this.#current);
    } catch (error) {
      // A removal counts at once, full disk or not; the next start learns of it again from the others.
      this.#log.error('the team could not be saved', { error });
    }
    this.#notify();
    return 'adopted';
  }

  /** Signs a change. Throws, and changes nothing, where it is not allowed, makes no sense or cannot be saved. */
  append(change: Change): Roster {
    const next = this.#current.append(change, this.#identity, this.#now().toISOString());
    this.#persist(next);
    this.#current = next;
    this.#notify();
    return next;
  }

  /** Leaves the present team for a new one with this machine alone in it. */
  create(name: string): Roster {
    const next = this.#newTeam(name, this.self?.name ?? this.#identity.name);
    this.replace(next);
    return next;
  }

  /** Takes another team's roster; that of the present team is kept beside it, as `roster.<team id>.json`. */
  replace(roster: Roster): void {
    const old = this.#current;
    if (roster.team.id !== old.team.id) {
      this.#write(this.#home.path('team', `roster.${old.team.id}.json`), old);
    }
    this.#persist(roster);
    this.#current = roster;
    this.#notify();
  }

  /** Calls `listener` after each change, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    const once = () => listener();
    this.#listeners.add(once);
    return () => void this.#listeners.delete(once);
  }

  #newTeam(name: string, machineName: string): Roster {
    const nonce = randomBytes(16).toString('base64url');
    return Roster.create(name, this.#identity, machineName, nonce, this.#now().toISOString());
  }

  #signAgain(changes: readonly Change[], winner: Roster): Roster {
    const at = this.#now().toISOString();
    let roster = winner;
    for (const change of changes) {
      try {
        const { op } = change;
        const again =
          op === 'add' ? { op, member: { ...change.member, name: roster.freeName(change.member.name) } } : change;
        if (op !== 'role' || roster.members.get(change.machine)?.role !== change.role) {
          roster = roster.append(again, this.#identity, at);
        }
      } catch (error) {
        const mayNot = roster.members.get(this.#identity.id)?.role !== 'admin';
        // A role or a removal says less the older it is; who was let in shall stay in.
        if (mayNot && change.op === 'add' && this.#waiting.length < mostWaiting) this.#waiting.push(change);
        else this.#log.warn('a change to the team was lost to a concurrent one', { change, error });
      }
    }
    return roster;
  }

  #persist(roster: Roster): void {
    this.#write(this.#path, roster);
  }

  #write(path: string, roster: Roster): void {
    try {
      writeAtomically(path, `${JSON.stringify({ version: 1, statements: roster.statements })}\n`);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new NiiaError('io', `the team could not be saved to ${path}: ${why}`, 'Make room or mend the folder.', {
        cause,
      });
    }
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** The chain in a file; undefined where there is none. Throws `io` where it is damaged. */
export function readRoster(path: string): Roster | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  try {
    return Roster.verify(v.parse(fileSchema, JSON.parse(text)).statements);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new NiiaError(
      'io',
      `${path} is damaged: ${why}`,
      'Restore it from a backup. Without one, move it away: the machine then starts a team of its own, and can join again.',
      { cause },
    );
  }
}
