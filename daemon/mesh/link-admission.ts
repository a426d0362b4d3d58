import { NiiaError } from '../../shared/errors.ts';
import type { Member, SignedStatement } from '../team/roster.ts';
import { Roster } from '../team/roster.ts';
import { encodeMessage, type LinkMessage } from './link-messages.ts';
import type { ChainHead } from './link-setup.ts';

/** Who may talk to whom, as far as one link is concerned. */
export interface Membership {
  /** This machine's chain as it is now. */
  roster(): Roster;
  self: string;
  /** Id of the machine that the paths of this link lead to. */
  remote: string;
}

export interface Judged {
  /** Their chain, where it takes the place of ours. */
  better: Roster | undefined;
  /** What is to be sent in return, if anything. */
  reply?: Uint8Array | undefined;
}

/**
 * The exchange of rosters before a link opens and after each change, and the decision that follows: both machines must be
 * members of the chain that wins, the other one with the very key that it proved. A machine may have to send its chain
 * to be known at all; until it is admitted it can do nothing else.
 */
export class LinkAdmission {
  readonly #membership: Membership;
  /** base64url, as in the roster. */
  readonly #remoteKey: string;
  #theirHead: string;
  #sentHead: string | undefined;
  #member: Member | undefined;

  constructor(membership: Membership, remoteKey: Uint8Array, theirs: ChainHead) {
    this.#membership = membership;
    this.#remoteKey = Buffer.from(remoteKey).toString('base64url');
    this.#theirHead = theirs.head;
  }

  /** The other machine, once it is admitted. */
  get member(): Member | undefined {
    return this.#member;
  }

  /** With equal rosters the decision is made at once; else ours is `news`. Throws `not_a_member`. */
  begin(): void {
    const roster = this.#membership.roster();
    if (roster.head === this.#theirHead) this.#admit(roster);
  }

  /** Our roster, where the other side neither has nor was sent it. */
  news(): Uint8Array | undefined {
    const { head, statements } = this.#membership.roster();
    if (head === this.#theirHead || head === this.#sentHead) return undefined;
    this.#sentHead = head;
    return encodeMessage({ type: 'roster', statements: [...statements] });
  }

  /** Afterwards there may be `news`. Throws `not_a_member` where the other side is none by the chain that wins. */
  receive(message: Exclude<LinkMessage, { type: 'prefer' | 'closed' }>): Judged {
    const ours = this.#membership.roster();
    if (message.type === 'roster-taken') {
      this.#theirHead = message.head;
      if (this.#theirHead === ours.head) this.#admit(ours);
      return { better: undefined };
    }
    const theirs = verified(message.statements, ours);
    this.#theirHead = theirs.head;
    const better = ours.losesTo(theirs) ? theirs : undefined;
    // Ours is of no interest any more.
    if (better) this.#sentHead = ours.head;
    try {
      this.#admit(better ?? ours);
    } catch (error) {
      // What it brought is worth having, whoever brought it.
      if (error instanceof NotAdmitted) error.better = better;
      throw error;
    }
    return better ? { better, reply: encodeMessage({ type: 'roster-taken', head: better.head }) } : { better };
  }

  /** Our roster changed, which may be `news`. Throws `not_a_member` where the other side is none any more. */
  rosterChanged(): void {
    const roster = this.#membership.roster();
    // Until its own roster came it may be a member that we do not know of.
    if (this.#member || roster.head === this.#theirHead) this.#admit(roster);
  }

  #admit(roster: Roster): void {
    const { self, remote } = this.#membership;
    const member = roster.members.get(remote);
    if (!roster.members.has(self)) {
      throw new NotAdmitted('this machine is not a member of the team any more', 'Ask an admin for a new invitation.');
    }
    if (!member || member.noiseKey !== this.#remoteKey) {
      throw new NotAdmitted(
        `${member?.name ?? remote} is not a member of the team with the key that it has`,
        'An admin of the team can invite it.',
      );
    }
    this.#member = member;
  }
}

/**
 * Whether `remoteKey` can be the other machine's: it is, or that machine is not known here yet and has to show by its
 * roster who it is.
 */
export function mayBe({ roster, remote }: Membership, remoteKey: Uint8Array): boolean {
  const member = roster().members.get(remote);
  return !member || member.noiseKey === Buffer.from(remoteKey).toString('base64url');
}

export class NotAdmitted extends NiiaError {
  better: Roster | undefined;

  constructor(message: string, hint: string) {
    super('not_a_member', message, hint);
  }
}

function verified(statements: readonly SignedStatement[], ours: Roster): Roster {
  const [first] = statements;
  const [root] = ours.statements;
  // The first statement is the team: a chain of another one is not worth verifying.
  if (first?.body !== root?.body || first?.sig !== root?.sig) {
    throw new NiiaError('not_a_member', 'the other machine has the roster of another team');
  }
  try {
    return Roster.verify(statements, ours);
  } catch (cause) {
    const why = NiiaError.from(cause).message;
    throw new NiiaError('not_a_member', `the other machine has a bad roster: ${why}`, undefined, { cause });
  }
}
