import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import type { Role } from '../../shared/protocol/shapes.ts';
import { nameSchema, roleSchema } from '../../shared/protocol/shapes.ts';
import { type Identity, machineId, verifySignature } from './identity.ts';

/**
 * A team is a chain of signed statements. Each names the hash of the one before it and is signed by a machine that was
 * an admin at that point (a machine may also remove itself). The team's id is the hash of the first statement, so
 * nobody can make another chain for the same team.
 *
 * Two valid chains of one team that part at some statement are a fork. One of them wins, the same one everywhere,
 * because all chains of a team stand in one order:
 *
 * 1. Admins have a rank: the sooner a machine became admin, the higher. Of two chains, the one in which the highest
 *    rank took away more admins' authority (removed or demoted them) wins; where that is equal, the next rank decides.
 * 2. Else the longer chain wins.
 * 3. Else the chain whose last hash is lower.
 *
 * So an admin that lost its authority by the word of a higher one cannot undo that, however long a branch it signs
 * from before: it cannot sign in the higher one's name. What a lower admin did to a higher one, the higher one can undo.
 *
 * Whoever signed statements that lost signs them again on top of the winner, where they still make sense.
 */
export interface SignedStatement {
  /** The exact JSON text that was signed. */
  body: string;
  /** Ed25519 signature over `body` in UTF-8, base64url. */
  sig: string;
}

export const signedStatementSchema = v.object({
  body: v.pipe(v.string(), v.maxLength(4096)),
  sig: v.pipe(v.string(), v.maxLength(128)),
});

/** A raw public key of 32 bytes in its one base64url spelling. */
export const publicKeySchema = v.pipe(
  v.string(),
  v.check((text) => {
    const raw = Buffer.from(text, 'base64url');
    return raw.length === 32 && raw.toString('base64url') === text;
  }, 'not a public key'),
);

const machineIdSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'not a machine id'));

const memberSchema = v.object({
  id: machineIdSchema,
  name: nameSchema,
  role: roleSchema,
  signKey: publicKeySchema,
  noiseKey: publicKeySchema,
});

const common = {
  v: v.literal(1),
  seq: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** Hash of the statement before; empty in the first. */
  prev: v.string(),
  /** When, ISO 8601, by the signer's clock: for people only. */
  at: v.pipe(v.string(), v.isoTimestamp()),
  /** Machine id of the signer. */
  by: machineIdSchema,
};

const statementSchema = v.variant('op', [
  v.object({ ...common, op: v.literal('create'), team: nameSchema, nonce: v.string(), member: memberSchema }),
  v.object({ ...common, op: v.literal('add'), member: memberSchema }),
  v.object({ ...common, op: v.literal('role'), machine: machineIdSchema, role: roleSchema }),
  v.object({ ...common, op: v.literal('remove'), machine: machineIdSchema }),
]);
type Statement = v.InferOutput<typeof statementSchema>;

export interface Member {
  id: string;
  name: string;
  role: Role;
  signKey: string;
  noiseKey: string;
  joinedAt: string;
}

/** A change to sign. */
export type Change =
  | { op: 'add'; member: Omit<Member, 'joinedAt'> }
  | { op: 'role'; machine: string; role: Role }
  | { op: 'remove'; machine: string };

/** Long enough for years of changes in a large team; a chain beyond it is refused. */
const longestChain = 10_000;

/** What follows from the statements so far. */
interface Standing {
  members: Map<string, Member>;
  /** By machine id: the number of the statement that made it admin. Lower is a higher rank. */
  adminSince: Map<string, number>;
  /** By rank: how many admins machines of that rank removed or demoted. */
  strips: Map<number, number>;
}

/** A verified chain and what follows from it. Immutable. */
export class Roster {
  readonly statements: readonly SignedStatement[];
  readonly team: { id: string; name: string };
  /** Hash of the last statement. */
  readonly head: string;
  readonly members: ReadonlyMap<string, Member>;
  readonly #strips: ReadonlyMap<number, number>;
  readonly #parsed: readonly Statement[];
  readonly #hashes: readonly string[];

  /** `known`: a roster whose signatures were checked; those of statements that it shares are not checked again. */
  private constructor(statements: readonly SignedStatement[], known?: Roster) {
    if (statements.length === 0 || statements.length > longestChain) {
      throw invalid(`it has ${statements.length} statements`);
    }
    const standing: Standing = { members: new Map(), adminSince: new Map(), strips: new Map() };
    const parsed: Statement[] = [];
    const hashes: string[] = [];
    for (const [seq, signed] of statements.entries()) {
      const statement = parseStatement(signed, seq);
      if (statement.prev !== (hashes.at(-1) ?? '')) throw invalid(`statement ${seq} does not follow the one before it`);
      const seen = known?.statements[seq];
      apply(standing, statement, signed, seen?.body === signed.body && seen.sig === signed.sig);
      parsed.push(statement);
      hashes.push(hashOf(signed));
    }
    const first = parsed[0];
    if (first?.op !== 'create') throw invalid('it does not start with the creation of a team');
    this.statements = statements;
    this.#parsed = parsed;
    this.#hashes = hashes;
    this.#strips = standing.strips;
    this.members = standing.members;
    this.head = hashes.at(-1) ?? '';
    this.team = { id: (hashes[0] ?? '').slice(0, 32), name: first.team };
  }

  /** Checks a chain from its first statement on. Throws `not_a_member` naming what is wrong with it. */
  static verify(statements: readonly SignedStatement[], known?: Roster): Roster {
    try {
      return new Roster([...statements], known);
    } catch (error) {
      if (error instanceof NiiaError && error.code !== 'not_a_member') throw invalid(error.message);
      throw error;
    }
  }

  /** A new team with `identity` as its only member and admin. */
  static create(team: string, identity: Identity, machineName: string, nonce: string, at: string): Roster {
    const member = {
      id: identity.id,
      name: machineName,
      role: 'admin' as const,
      signKey: identity.signKey,
      noiseKey: identity.noiseKey,
    };
    return new Roster([
      signStatement({ v: 1, seq: 0, prev: '', at, by: identity.id, op: 'create', team, nonce, member }, identity),
    ]);
  }

  get length(): number {
    return this.statements.length;
  }

  /** This chain with one more statement signed by `identity`. Throws where the change is not allowed or makes no sense. */
  append(change: Change, identity: Identity, at: string): Roster {
    const signer = this.members.get(identity.id);
    const leaves = change.op === 'remove' && change.machine === identity.id;
    if (!signer) throw new NiiaError('not_a_member', `this machine is no member of the team ${this.team.name}`);
    if (signer.role !== 'admin' && !leaves) {
      throw new NiiaError(
        'denied',
        `${signer.name} is ${signer.role} in the team ${this.team.name}; only an admin changes the team`,
        'Do it on an admin machine: niia team show',
      );
    }
    const body = { v: 1 as const, seq: this.length, prev: this.head, at, by: identity.id, ...change };
    return new Roster([...this.statements, signStatement(body, identity)], this);
  }

  /** The member with this id or name. */
  find(idOrName: string): Member | undefined {
    const byId = this.members.get(idOrName);
    if (byId) return byId;
    for (const member of this.members.values()) if (member.name === idOrName) return member;
    return undefined;
  }

  /** `wanted`, or where that name is taken `wanted-2`, `wanted-3` and so on. */
  freeName(wanted: string): string {
    const taken = new Set([...this.members.values()].map((member) => member.name));
    let name = wanted;
    for (let count = 2; taken.has(name); count++) name = `${wanted.slice(0, 63 - `-${count}`.length)}-${count}`;
    return name;
  }

  /** Whether this machine was ever added, be it a member now or not. */
  everHad(id: string): boolean {
    return this.#parsed.some((statement) => 'member' in statement && statement.member.id === id);
  }

  /** Whether `other` (a chain of the same team) takes this one's place; see the rule above. */
  losesTo(other: Roster): boolean {
    if (other.team.id !== this.team.id || other.head === this.head) return false;
    const ranks = [...new Set([...this.#strips.keys(), ...other.#strips.keys()])].sort((a, b) => a - b);
    for (const rank of ranks) {
      const difference = (other.#strips.get(rank) ?? 0) - (this.#strips.get(rank) ?? 0);
      if (difference !== 0) return difference > 0;
    }
    if (this.length !== other.length) return other.length > this.length;
    return other.head < this.head;
  }

  /** Changes that `signer` made on this chain and that `winner`, a fork of it, does not have. */
  lostTo(winner: Roster, signer: string): Change[] {
    return this.#parsed
      .slice(this.#forkWith(winner))
      .filter((statement) => statement.by === signer)
      .flatMap(changeOf);
  }

  #forkWith(other: Roster): number {
    let fork = 0;
    while (fork < this.length && fork < other.length && this.#hashes[fork] === other.#hashes[fork]) fork++;
    return fork;
  }
}

function changeOf(statement: Statement): Change[] {
  switch (statement.op) {
    case 'add':
      return [{ op: 'add', member: statement.member }];
    case 'role':
      return [{ op: 'role', machine: statement.machine, role: statement.role }];
    case 'remove':
      return [{ op: 'remove', machine: statement.machine }];
    case 'create':
      return [];
  }
}

function apply(standing: Standing, statement: Statement, signed: SignedStatement, signatureKnown: boolean): void {
  const { members } = standing;
  const { seq } = statement;
  const signer = statement.op === 'create' ? statement.member : members.get(statement.by);
  if (!signer || signer.id !== statement.by) throw invalid(`statement ${seq} is signed by a stranger`);
  if (!signatureKnown && !verifySignature(signer.signKey, Buffer.from(signed.body), signed.sig)) {
    throw invalid(`statement ${seq} has a wrong signature`);
  }
  const leaves = statement.op === 'remove' && statement.machine === statement.by;
  if (signer.role !== 'admin' && !leaves) {
    throw invalid(`statement ${seq} is signed by ${signer.name}, who is no admin`);
  }
  switch (statement.op) {
    case 'create':
    case 'add': {
      if ((statement.op === 'create') !== (seq === 0)) throw invalid(`statement ${seq} cannot be "${statement.op}"`);
      const { member } = statement;
      admit(members, member);
      members.set(member.id, { ...member, joinedAt: statement.at });
      if (member.role === 'admin') standing.adminSince.set(member.id, seq);
      break;
    }
    case 'role': {
      const member = known(members, statement.machine);
      if (statement.role !== 'admin') strip(standing, member, statement.by);
      else if (member.role !== 'admin') standing.adminSince.set(member.id, seq);
      members.set(member.id, { ...member, role: statement.role });
      break;
    }
    case 'remove': {
      const member = known(members, statement.machine);
      strip(standing, member, statement.by);
      members.delete(member.id);
      break;
    }
  }
  if (![...members.values()].some((member) => member.role === 'admin')) {
    throw new NiiaError('denied', 'the team would be left without an admin', 'Make another machine admin first.');
  }
}

/** Throws unless `member` can stand beside the others: one name, one id and one pair of keys for each. */
function admit(members: ReadonlyMap<string, Member>, member: Omit<Member, 'joinedAt'>): void {
  if (member.id !== machineId(member.signKey)) throw invalid(`the id of ${member.name} is not that of its key`);
  if (members.has(member.id)) throw new NiiaError('already_member', `${member.name} is a member already`);
  if (v.is(machineIdSchema, member.name)) throw invalid(`${member.name} has the form of an id, not of a name`);
  for (const other of members.values()) {
    if (other.noiseKey === member.noiseKey) throw invalid(`${member.name} has the key of ${other.name}`);
    if (other.name !== member.name) continue;
    throw new NiiaError(
      'name_taken',
      `the team has a machine named ${member.name} already`,
      'Choose another: --name N',
    );
  }
}

/** Notes that `by` takes away the authority of `member`, where that is an admin other than itself. */
function strip({ adminSince, strips }: Standing, member: Member, by: string): void {
  const rank = adminSince.get(by);
  if (member.role !== 'admin') return;
  adminSince.delete(member.id);
  if (member.id !== by && rank !== undefined) strips.set(rank, (strips.get(rank) ?? 0) + 1);
}

function known(members: ReadonlyMap<string, Member>, id: string): Member {
  const member = members.get(id);
  if (!member) throw new NiiaError('no_such_machine', `${id} is no member of the team`);
  return member;
}

function parseStatement(signed: SignedStatement, seq: number): Statement {
  if (!v.is(signedStatementSchema, signed)) throw invalid(`statement ${seq} is too long`);
  let json: unknown;
  try {
    json = JSON.parse(signed.body);
  } catch (cause) {
    throw new NiiaError('not_a_member', `the roster is not valid: statement ${seq} is not JSON`, undefined, { cause });
  }
  const parsed = v.safeParse(statementSchema, json);
  if (!parsed.success) throw invalid(`statement ${seq}: ${parsed.issues[0].message}`);
  if (parsed.output.seq !== seq) throw invalid(`statement ${seq} says it is number ${parsed.output.seq}`);
  return parsed.output;
}

function signStatement(statement: Statement, identity: Identity): SignedStatement {
  const body = JSON.stringify(statement);
  return { body, sig: identity.sign(Buffer.from(body)) };
}

/** Of the body alone: a second valid signature, or another spelling of the first, makes no other statement. */
function hashOf(signed: SignedStatement): string {
  return createHash('sha256').update(signed.body).digest('hex');
}

function invalid(why: string): NiiaError {
  return new NiiaError('not_a_member', `the roster is not valid: ${why}`);
}
