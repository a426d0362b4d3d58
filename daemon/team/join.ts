import * as v from 'valibot';
import { NiiaError } from '../../shared/errors.ts';
import { nameSchema, type Role, roleSchema } from '../../shared/protocol/shapes.ts';
import { protocolRange } from '../../shared/protocol/version.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { version } from '../home/version.ts';
import { type Identity, machineId, verifySignature } from './identity.ts';
import { type InviteCode, joinKey } from './invite-code.ts';
import { JoinLane, joinLimits } from './join-lane.ts';
import { NoiseHandshake } from './noise.ts';
import { type Member, publicKeySchema, Roster, signedStatementSchema } from './roster.ts';
import type { TeamStore } from './team-store.ts';
import type { Tickets } from './tickets.ts';

/**
 * How a guest with an invite code becomes a member. Noise XXpsk0 with the code's secret, the guest first:
 *
 *     guest                                inviter
 *     handshake 1 ─────────────────────►
 *                  ◄───────────────────── handshake 2      the guest checks that the key is the code's
 *     handshake 3, who it is ──────────►                   the inviter checks it, uses the ticket, signs `add`
 *                  ◄───────────────────── the roster, or an error with its code
 *     done ────────────────────────────►                   nobody needs the code any more
 *
 * Cut before the ticket is used, nothing has happened. Cut after it, the same machine comes back with the same code and
 * gets the roster again; nobody else can use the code.
 */

const range = v.object({ min: v.number(), max: v.number() });

const requestSchema = v.object({
  protocol: range,
  software: v.pipe(v.string(), v.maxLength(100)),
  name: nameSchema,
  /** Whether a person asked for this very name; else a free one like it will do. */
  nameChosen: v.boolean(),
  signKey: publicKeySchema,
  noiseKey: publicKeySchema,
  /** Signature over `proofOf(…)`, base64url. */
  proof: v.string(),
});
type JoinRequest = v.InferOutput<typeof requestSchema>;

const gatewaySchema = v.object({
  urls: v.array(v.pipe(v.string(), v.maxLength(300))),
  fingerprint: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
});
/** Where the team meets. `fingerprint`: SHA-256 of the certificate (DER), hex; null: it is checked the usual way. */
export type JoinGateway = v.InferOutput<typeof gatewaySchema>;

const answerSchema = v.union([
  v.object({ error: v.object({ code: v.string(), message: v.string(), hint: v.optional(v.string()) }) }),
  v.object({
    statements: v.array(signedStatementSchema),
    gateways: v.array(gatewaySchema),
    role: roleSchema,
    name: nameSchema,
    /** Machine id. */
    inviter: v.string(),
  }),
]);
type JoinAnswer = v.InferOutput<typeof answerSchema>;

export interface ServeJoinOptions {
  /** The way to the guest; closed at the end. */
  lane: Transport;
  /** The ticket that the guest showed to the gateway. */
  ticketHash: string;
  tickets: Tickets;
  store: TeamStore;
  identity: Identity;
  gateways: readonly JoinGateway[];
  signal: AbortSignal;
  /** How long to wait for each message, milliseconds. */
  stepMs?: number;
}

export interface Served {
  member: Member;
  /** Whether the guest said that it has the roster. If not it may come back with the same code to get it. */
  delivered: boolean;
}

/** Serves one guest, to its end. Resolves with the member that it is now; rejects with why it was refused. */
export async function serveJoin(o: ServeJoinOptions): Promise<Served> {
  const lane = new JoinLane(o.lane, { maxBytes: joinLimits.request, signal: o.signal, stepMs: o.stepMs });
  try {
    const handshake = await answerHandshake(lane, o);
    const member = await decide(lane, handshake, o);
    const { statements } = o.store.current;
    const gateways = o.gateways.map(({ urls, fingerprint }) => ({ urls, fingerprint }));
    const { role, name } = member;
    const answer = { statements: [...statements], gateways, role, name, inviter: o.identity.id };
    return { member, delivered: await tell(lane, answer) };
  } finally {
    lane.close();
  }
}

async function decide(lane: JoinLane, handshake: NoiseHandshake, o: ServeJoinOptions): Promise<Member> {
  try {
    return admit(await lane.receiveJson(), handshake, o);
  } catch (error) {
    const reason = NiiaError.from(error);
    const ours = reason.code === 'io' || reason.code === 'internal';
    const told = ours
      ? new NiiaError('failed', 'the inviting machine could not save the new member', 'See the log of its daemon.')
      : reason;
    await tell(lane, { error: told.toJSON() });
    throw reason;
  }
}

/** Whether the guest says that it took the answer. What is decided stands, also where the guest is gone. */
async function tell(lane: JoinLane, answer: JoinAnswer): Promise<boolean> {
  return await unlessGone(async () => {
    await lane.sendJson(answer);
    await lane.receiveJson();
  });
}

/** Whether `exchange` came to its end: false where the other side went away, was silent or spoke nonsense. */
async function unlessGone(exchange: () => Promise<void>): Promise<boolean> {
  try {
    await exchange();
    return true;
  } catch (error) {
    if (error instanceof NiiaError) return false;
    throw error;
  }
}

async function answerHandshake(lane: JoinLane, o: ServeJoinOptions): Promise<NoiseHandshake> {
  const ticket = o.tickets.find(o.ticketHash);
  if (!ticket) {
    lane.sendRefusal();
    throw new NiiaError('denied', 'a guest came with an invite code that is not known here');
  }
  const handshake = new NoiseHandshake({
    pattern: 'XXpsk0',
    initiator: false,
    staticKey: o.identity.noise,
    psk: Buffer.from(ticket.key, 'base64url'),
    prologue: prologueOf(o.store.current.team.id),
  });
  const first = await lane.receiveHandshake();
  try {
    handshake.read(first);
  } catch (error) {
    lane.sendRefusal();
    throw error;
  }
  lane.sendHandshake(handshake.write());
  handshake.read(await lane.receiveHandshake());
  lane.secure(handshake.keys);
  return handshake;
}

/** Decides about a guest and makes it a member. All in one go: of two guests with one code, the first one gets in. */
function admit(json: unknown, handshake: NoiseHandshake, o: ServeJoinOptions): Member {
  const { store, tickets, ticketHash, identity } = o;
  const request = checkRequest(json, handshake);
  const id = machineId(request.signKey);
  const ticket = tickets.check(ticketHash, id);
  const present = store.current.members.get(id);
  if (present) {
    if (present.noiseKey === request.noiseKey) return present;
    throw new NiiaError('denied', `${present.name} is a member with another key`, 'An admin has to remove it first.');
  }
  if (ticket.usedBy === id && store.current.everHad(id)) {
    throw new NiiaError('code_used', 'this machine used the code before, and was removed from the team since');
  }
  const member = { id, name: nameFor(request, store.current), role: ticket.role, ...keysOf(request) };
  // A change that cannot be made must not cost the ticket.
  store.current.append({ op: 'add', member }, identity, new Date().toISOString());
  tickets.use(ticketHash, id);
  return memberOf(store.append({ op: 'add', member }), id);
}

function checkRequest(json: unknown, handshake: NoiseHandshake): JoinRequest {
  const speaks = v.safeParse(v.object({ protocol: range }), json);
  if (speaks.success) checkVersion(speaks.output.protocol);
  const parsed = v.safeParse(requestSchema, json);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new NiiaError(
      'bad_request',
      `a join request with a wrong ${v.getDotPath(issue) ?? 'form'}: ${issue.message}`,
    );
  }
  const request = parsed.output;
  const shown = Buffer.from(handshake.remoteStatic ?? []).toString('base64url');
  const proof = proofOf(handshake.hash, request.signKey, request.noiseKey);
  if (shown !== request.noiseKey || !verifySignature(request.signKey, proof, request.proof)) {
    throw new NiiaError('denied', 'the joining machine does not hold the keys that it shows');
  }
  return request;
}

function checkVersion({ min, max }: v.InferOutput<typeof range>): void {
  if (min <= protocolRange.max && max >= protocolRange.min) return;
  throw new NiiaError(
    'version_mismatch',
    `the joining machine speaks protocol ${min} to ${max}, the inviting one ${protocolRange.min} to ${protocolRange.max}`,
    'Upgrade niia on the older of the two.',
  );
}

function nameFor(request: JoinRequest, roster: Roster): string {
  const free = roster.freeName(request.name);
  if (free === request.name || !request.nameChosen) return free;
  throw new NiiaError(
    'name_taken',
    `the team has a machine named ${request.name} already`,
    `Choose another (the code still counts): --name ${free}`,
  );
}

export interface RequestJoinOptions {
  /** The way to the inviter; closed at the end. */
  lane: Transport;
  code: InviteCode;
  identity: Identity;
  name: string;
  /** Whether it must be this name; else a free one like it will do. */
  nameChosen: boolean;
  signal: AbortSignal;
  /** How long to wait for each message, milliseconds. */
  stepMs?: number;
}

export interface Joined {
  roster: Roster;
  gateways: JoinGateway[];
  role: Role;
  name: string;
  /** Machine id. */
  inviter: string;
}

/**
 * Asks to become a member. Rejects with the inviter's reason (`code_used`, `code_expired`, `name_taken`, `denied` …),
 * `offline` where the inviter went away before anything happened, or `link_lost` where this machine may be a member
 * already: the same call again tells.
 */
export async function requestJoin(o: RequestJoinOptions): Promise<Joined> {
  const lane = new JoinLane(o.lane, { maxBytes: joinLimits.answer, signal: o.signal, stepMs: o.stepMs });
  let asked = false;
  try {
    const handshake = await openHandshake(lane, o);
    asked = true;
    await lane.sendJson(requestOf(o, handshake));
    const answer = parseAnswer(await lane.receiveJson());
    const joined = 'error' in answer ? fromInviter(answer.error) : checkAnswer(answer, o);
    await unlessGone(() => lane.sendJson({ done: true }));
    if (joined instanceof NiiaError) throw joined;
    return joined;
  } catch (error) {
    throw explainCut(NiiaError.from(error), asked);
  } finally {
    lane.close();
  }
}

async function openHandshake(lane: JoinLane, { code, identity }: RequestJoinOptions): Promise<NoiseHandshake> {
  const handshake = new NoiseHandshake({
    pattern: 'XXpsk0',
    initiator: true,
    staticKey: identity.noise,
    psk: joinKey(code.secret),
    prologue: prologueOf(code.team),
  });
  lane.sendHandshake(handshake.write());
  handshake.read(await lane.receiveHandshake());
  // Whoever else knows the secret (a used code in a chat log) must not pass for the inviter, nor learn who we are.
  if (Buffer.from(handshake.remoteStatic ?? []).toString('base64url') !== code.inviterKey) {
    throw new NiiaError('denied', 'another machine than the inviting one answered', 'Ask for a new code.');
  }
  lane.sendHandshake(handshake.write());
  lane.secure(handshake.keys);
  return handshake;
}

function requestOf({ identity, name, nameChosen }: RequestJoinOptions, handshake: NoiseHandshake): JoinRequest {
  const { signKey, noiseKey } = identity;
  const proof = identity.sign(proofOf(handshake.hash, signKey, noiseKey));
  return { protocol: protocolRange, software: version, name, nameChosen, signKey, noiseKey, proof };
}

function parseAnswer(json: unknown): JoinAnswer {
  const parsed = v.safeParse(answerSchema, json);
  if (parsed.success) return parsed.output;
  throw new NiiaError('bad_request', `an answer of a wrong form: ${parsed.issues[0].message}`);
}

function checkAnswer(answer: Exclude<JoinAnswer, { error: unknown }>, { code, identity }: RequestJoinOptions): Joined {
  const roster = Roster.verify(answer.statements);
  if (roster.team.id !== code.team) throw wrong('it is of another team');
  const self = roster.members.get(identity.id);
  if (!self || self.signKey !== identity.signKey || self.noiseKey !== identity.noiseKey) {
    throw wrong('this machine is not in it with its keys');
  }
  if (self.role !== answer.role || self.name !== answer.name)
    throw wrong('it names another role or name than promised');
  if (roster.members.get(answer.inviter)?.noiseKey !== code.inviterKey) throw wrong('the inviter is not in it');
  return { roster, gateways: answer.gateways, role: self.role, name: self.name, inviter: answer.inviter };
}

function wrong(why: string): NiiaError {
  return new NiiaError('denied', `the inviter sent a roster that cannot be right: ${why}`);
}

/** Text of another machine may end up in a terminal: no control characters, and not without end. */
function fromInviter(error: { code: string; message: string; hint?: string | undefined }): NiiaError {
  const clean = (text: string): string => text.replace(/\p{Cc}/gu, ' ').slice(0, 500);
  const { code, message, hint } = NiiaError.fromWire(error);
  return new NiiaError(code, clean(message), hint === undefined ? undefined : clean(hint));
}

function explainCut(error: NiiaError, asked: boolean): NiiaError {
  if (error.code !== 'link_lost' && error.code !== 'timeout') return error;
  if (!asked) {
    const code = error.code === 'timeout' ? 'timeout' : 'offline';
    return new NiiaError(code, `the inviting machine does not answer: ${error.message}`, 'Try the same code again.', {
      cause: error,
    });
  }
  return new NiiaError(
    error.code,
    `${error.message} before the answer came: this machine may be a member already`,
    'Run the same command again: the code still counts for this machine.',
    { cause: error },
  );
}

function prologueOf(team: string): Uint8Array {
  return Buffer.from(`niia join 1\n${team}`);
}

/** What the guest signs: its keys, bound to this one handshake. */
function proofOf(hash: Uint8Array, signKey: string, noiseKey: string): Uint8Array {
  return Buffer.from(`niia join proof 1\n${Buffer.from(hash).toString('hex')}\n${signKey}\n${noiseKey}`);
}

function keysOf({ signKey, noiseKey }: JoinRequest): { signKey: string; noiseKey: string } {
  return { signKey, noiseKey };
}

function memberOf(roster: Roster, id: string): Member {
  const member = roster.members.get(id);
  if (!member) throw new NiiaError('internal', `${id} was added and is not there`);
  return member;
}
