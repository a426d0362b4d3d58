import * as v from 'valibot';
import { Ballot } from './ballot.ts';
import type { Entry, MessageOf, Position, ReplicaMessage, SavedBallot } from './messages.ts';
import { isBefore } from './messages.ts';
import type { StoredRecord, VoterInfo } from './records.ts';
import { voterSchema } from './records.ts';
import type { ReplicaTiming } from './timing.ts';
import { usualTiming } from './timing.ts';

/** What a voter has on disk. The entry at index i of the journal is `log[i - 1]`. */
export interface SavedReplica extends SavedBallot {
  log: Entry[];
}
export const freshReplica: SavedReplica = { term: 0, vote: null, log: [] };

/** What must be on disk, in this order, before anything leaves. */
export interface Save {
  ballot?: SavedBallot;
  /** The entries from index `from` on, to the journal's end, are these now. */
  log?: { from: number; entries: Entry[] };
}

export interface ReplicaOutput {
  save: Save | undefined;
  messages: Array<{ to: string; message: ReplicaMessage }>;
  /** Records that count now, in order, each told once. */
  committed: Array<{ index: number; record: StoredRecord }>;
}

export interface ReplicaOptions {
  self: string;
  saved: SavedReplica;
  /** On a clock that counts sleep, milliseconds. */
  now: number;
  /** 0 to 1. */
  random: () => number;
  /** The record that a new leader appends: what it found counts with it. */
  termRecord: (term: number) => StoredRecord;
  timing?: ReplicaTiming;
}

/** What a leader knows of another voter. */
interface Peer {
  readonly voter: VoterInfo;
  /** The next entry to send, and how far its journal is known to be the leader's. */
  next: number;
  match: number;
  /** When what it answered last was sent. */
  answered: number;
}

type Role =
  | { is: 'follower' }
  /** Asks whether it would be elected, or (not on trial) to be. */
  | { is: 'candidate'; trial: boolean; votes: Set<string> }
  | { is: 'leader'; peers: Map<string, Peer>; electedAt: number; nextHeartbeat: number };

/** A message carries entries up to about this much JSON, and one at least. */
const mostBytes = 256 << 10;

/**
 * One voter's replica of a run's journal: Raft, without changes of membership. Messages and times go in, messages and
 * what to save come out; nothing that `take` gives may leave before its `save` is on disk. After a failed save the
 * replica is to be thrown away and made again from the disk.
 */
export class Replica {
  readonly #self: string;
  readonly #random: () => number;
  readonly #termRecord: (term: number) => StoredRecord;
  readonly #timing: ReplicaTiming;
  readonly #ballot: Ballot;
  readonly #log: Entry[];
  #voters: VoterInfo[] | undefined;
  #role: Role = { is: 'follower' };
  #leader: string | null = null;
  #commit = 0;
  #told = 0;
  #electionAt = 0;
  /** Entries from here on are not on disk yet. */
  #unsaved = Number.POSITIVE_INFINITY;
  #messages: ReplicaOutput['messages'] = [];

  constructor({ self, saved, now, random, termRecord, timing = usualTiming }: ReplicaOptions) {
    this.#self = self;
    this.#random = random;
    this.#termRecord = termRecord;
    this.#timing = timing;
    this.#log = [...saved.log];
    const term = Math.max(saved.term, this.last.term);
    this.#ballot = new Ballot({ term, vote: term === saved.term ? saved.vote : null }, now, timing);
    this.#readVoters();
    this.#putOffElection(now);
  }

  /** The first voter of a new run: nobody else can lead its first term. */
  static found(options: Omit<ReplicaOptions, 'saved'>, begun: StoredRecord): Replica {
    const replica = new Replica({ ...options, saved: freshReplica });
    replica.#ballot.stand(options.self);
    replica.#append(begun);
    replica.#readVoters();
    replica.#takeLead(options.now);
    return replica;
  }

  get term(): number {
    return this.#ballot.term;
  }

  get leader(): string | null {
    return this.#leader;
  }

  get isLeader(): boolean {
    return this.#role.is === 'leader';
  }

  get last(): Position {
    return { index: this.#log.length, term: this.#log.at(-1)?.term ?? 0 };
  }

  /** All its records count, and it is certain that no other leads: it may act for the run. */
  mayAct(now: number): boolean {
    return this.#role.is === 'leader' && this.#commit === this.#log.length && now < this.#leaseEnd(this.#role, now);
  }

  /** When it wants `tick` at the latest. */
  get wakeAt(): number {
    return this.#role.is === 'leader' ? this.#role.nextHeartbeat : this.#electionAt;
  }

  tick(now: number): void {
    this.#expire(now);
    if (this.#role.is === 'leader') {
      if (now >= this.#role.nextHeartbeat) this.#sendAll(this.#role, now);
    } else if (now >= this.#electionAt) this.#stand(now, true);
  }

  /** Appends records, where it leads; gives the index of the first. They count once `take` tells them. */
  propose(records: readonly StoredRecord[], now: number): number {
    const role = this.#role;
    if (role.is !== 'leader') throw new Error('only the leader appends records');
    const first = this.#log.length + 1;
    for (const record of records) this.#append(record);
    this.#sendAll(role, now);
    this.#advance(role);
    return first;
  }

  receive(from: string, message: ReplicaMessage, now: number): void {
    this.#expire(now);
    if (this.#voters && !this.#voters.some(({ id }) => id === from)) return;
    if (message.is === 'ask-vote') {
      this.#asked(from, message, now);
      return;
    }
    if (message.term > this.#ballot.term) this.#follow(message.term, now);
    switch (message.is) {
      case 'append':
        this.#receiveAppend(from, message, now);
        return;
      case 'appended':
        if (message.term === this.#ballot.term) this.#answered(from, message, now);
        return;
      case 'vote':
        this.#receiveVote(from, message, now);
        return;
      case 'extend':
        return;
    }
  }

  /** What came of all that went in since the last time. */
  take(): ReplicaOutput {
    const ballot = this.#ballot.take();
    const from = this.#unsaved;
    const log = from <= this.#log.length ? { from, entries: this.#log.slice(from - 1) } : undefined;
    this.#unsaved = Number.POSITIVE_INFINITY;
    const messages = this.#messages;
    this.#messages = [];
    const committed: ReplicaOutput['committed'] = [];
    while (this.#told < this.#commit) {
      this.#told++;
      committed.push({ index: this.#told, record: this.#entry(this.#told).record });
    }
    const save = ballot || log ? { ...(ballot ? { ballot } : {}), ...(log ? { log } : {}) } : undefined;
    return { save, messages, committed };
  }

  // Elections

  #asked(from: string, message: MessageOf<'ask-vote'>, now: number): void {
    // A leader is heard by itself.
    if (this.#role.is === 'leader') this.#ballot.heard(now);
    const before = this.#ballot.term;
    const reply = this.#ballot.ask(from, message, this.last, now);
    if (this.#ballot.term > before) this.#follow(this.#ballot.term, now);
    if (reply.granted && !reply.trial) this.#putOffElection(now);
    this.#send(from, reply);
  }

  #stand(now: number, trial: boolean): void {
    this.#putOffElection(now);
    if (!this.#voters) return;
    this.#leader = null;
    if (!trial) this.#ballot.stand(this.#self);
    const votes = new Set([this.#self]);
    this.#role = { is: 'candidate', trial, votes };
    if (this.#isMajority(votes.size)) {
      this.#elected(trial, now);
      return;
    }
    const term = trial ? this.#ballot.term + 1 : this.#ballot.term;
    for (const { id } of this.#others()) this.#send(id, { is: 'ask-vote', term, trial, last: this.last });
  }

  #receiveVote(from: string, message: MessageOf<'vote'>, now: number): void {
    const role = this.#role;
    if (role.is !== 'candidate' || message.trial !== role.trial || !message.granted) return;
    if (message.asked !== this.#ballot.term + (role.trial ? 1 : 0)) return;
    role.votes.add(from);
    if (this.#isMajority(role.votes.size)) this.#elected(role.trial, now);
  }

  #elected(trial: boolean, now: number): void {
    if (trial) {
      this.#stand(now, false);
      return;
    }
    this.#append(this.#termRecord(this.#ballot.term));
    this.#takeLead(now);
  }

  #takeLead(now: number): void {
    const peers = this.#others().map((voter): [string, Peer] => [
      voter.id,
      { voter, next: this.#log.length, match: 0, answered: Number.NEGATIVE_INFINITY },
    ]);
    const role: Role = { is: 'leader', peers: new Map(peers), electedAt: now, nextHeartbeat: now };
    this.#role = role;
    this.#leader = this.#self;
    this.#sendAll(role, now);
    this.#advance(role);
  }

  #follow(term: number, now: number): void {
    this.#ballot.raise(term);
    this.#leader = null;
    if (this.#role.is !== 'follower') this.#putOffElection(now);
    this.#role = { is: 'follower' };
  }

  /** A leader that the majority does not answer leads no longer: they may be about to elect another. */
  #expire(now: number): void {
    const role = this.#role;
    if (role.is !== 'leader') return;
    if (now < Math.max(role.electedAt + this.#timing.leaseMs, this.#leaseEnd(role, now))) return;
    this.#follow(this.#ballot.term, now);
  }

  /** Until then the majority has promised to elect nobody. */
  #leaseEnd(role: Role & { is: 'leader' }, now: number): number {
    const times = [now, ...[...role.peers.values()].map(({ answered }) => answered)].sort((a, b) => b - a);
    return (times[this.#majority - 1] ?? Number.NEGATIVE_INFINITY) + this.#timing.leaseMs;
  }

  #putOffElection(now: number): void {
    const [least, most] = this.#timing.electionMs;
    const alone = this.#voters?.length === 1;
    this.#electionAt = alone ? now : now + least + (most - least) * this.#random();
  }

  // The journal, at its leader

  #sendAll(role: Role & { is: 'leader' }, now: number): void {
    role.nextHeartbeat = now + this.#timing.heartbeatMs;
    for (const peer of role.peers.values()) this.#sendTo(role, peer, now);
  }

  #sendTo(role: Role & { is: 'leader' }, peer: Peer, now: number): void {
    const { term } = this.#ballot;
    if (peer.voter.witness) {
      const index = this.#witnessed(role, now);
      const last = index > 0 && this.#entry(index).term === term ? { index, term } : null;
      this.#send(peer.voter.id, { is: 'extend', term, sent: now, last });
      return;
    }
    const prev = { index: peer.next - 1, term: peer.next > 1 ? this.#entry(peer.next - 1).term : 0 };
    const entries = this.#batch(peer.next);
    this.#send(peer.voter.id, { is: 'append', term, sent: now, prev, entries, commit: this.#commit });
  }

  /**
   * How far a witness may know: no further than the others who answer have the journal. Else the witness could keep them
   * from being elected for want of an entry that only the lost leader had.
   */
  #witnessed({ peers, electedAt }: Role & { is: 'leader' }, now: number): number {
    const since = now - 2.5 * this.#timing.heartbeatMs;
    const answering = [...peers.values()].filter(
      ({ voter, answered }) => !voter.witness && Math.max(answered, electedAt) > since,
    );
    return Math.min(this.#log.length, ...answering.map(({ match }) => match));
  }

  #batch(from: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = from; index <= this.#log.length; index++) {
      const entry = this.#entry(index);
      bytes += sizeOf(entry);
      if (entries.length > 0 && bytes > mostBytes) break;
      entries.push(entry);
    }
    return entries;
  }

  #answered(from: string, { ok, match, sent }: MessageOf<'appended'>, now: number): void {
    const role = this.#role;
    const peer = role.is === 'leader' ? role.peers.get(from) : undefined;
    if (role.is !== 'leader' || !peer) return;
    peer.answered = Math.max(peer.answered, sent);
    if (!ok) {
      peer.next = Math.max(peer.match + 1, Math.min(peer.next - 1, match + 1));
      this.#sendTo(role, peer, now);
      return;
    }
    if (match <= peer.match) return;
    peer.match = match;
    peer.next = match + 1;
    this.#advance(role);
    if (peer.voter.witness) return;
    if (match < this.#log.length) this.#sendTo(role, peer, now);
    // What this one has now the witnesses may know of.
    for (const other of role.peers.values()) if (other.voter.witness) this.#sendTo(role, other, now);
  }

  /** Lets count what the majority has: entries of this term, and with them all before. */
  #advance({ peers }: Role & { is: 'leader' }): void {
    const matches = [this.#log.length, ...[...peers.values()].map(({ match }) => match)].sort((a, b) => b - a);
    const index = matches[this.#majority - 1] ?? 0;
    if (index > this.#commit && this.#entry(index).term === this.#ballot.term) this.#commit = index;
  }

  // The journal, at the others

  #receiveAppend(from: string, { term, sent, prev, entries, commit }: MessageOf<'append'>, now: number): void {
    if (term < this.#ballot.term) {
      this.#send(from, { is: 'appended', term: this.#ballot.term, sent, ok: false, match: 0 });
      return;
    }
    this.#role = { is: 'follower' };
    this.#leader = from;
    this.#ballot.heard(now);
    this.#putOffElection(now);
    const ok = prev.index === 0 || this.#log[prev.index - 1]?.term === prev.term;
    const match = ok ? prev.index + entries.length : this.#mayMatch(prev);
    if (ok) {
      this.#take(prev.index, entries);
      this.#commit = Math.max(this.#commit, Math.min(commit, match));
    }
    this.#send(from, { is: 'appended', term, sent, ok, match });
  }

  /** The last index before `prev` that may be the leader's: none of a later term than `prev` is. */
  #mayMatch(prev: Position): number {
    let index = Math.min(prev.index - 1, this.#log.length);
    while (index > this.#commit && isBefore(prev, { index: prev.index, term: this.#entry(index).term })) index--;
    return index;
  }

  /** Makes the journal behind `after` the leader's. What it has already stays: an old message may say less. */
  #take(after: number, entries: readonly Entry[]): void {
    for (const [i, entry] of entries.entries()) {
      const index = after + i + 1;
      if (this.#log[index - 1]?.term === entry.term) continue;
      if (index <= this.#commit) throw new Error(`entry ${index} counts, and the leader has another`);
      this.#log.length = index - 1;
      this.#log.push(...entries.slice(i));
      this.#unsaved = Math.min(this.#unsaved, index);
      if (index === 1) this.#readVoters();
      return;
    }
  }

  // Small things

  #append(record: StoredRecord): void {
    this.#log.push({ term: this.#ballot.term, record });
    this.#unsaved = Math.min(this.#unsaved, this.#log.length);
  }

  #entry(index: number): Entry {
    const entry = this.#log[index - 1];
    if (!entry) throw new Error(`the journal has no entry ${index}`);
    return entry;
  }

  #readVoters(): void {
    const [first] = this.#log;
    this.#voters = first ? v.parse(v.array(voterSchema), first.record['voters']) : undefined;
  }

  #others(): VoterInfo[] {
    return (this.#voters ?? []).filter(({ id }) => id !== this.#self);
  }

  get #majority(): number {
    return Math.floor((this.#voters?.length ?? 0) / 2) + 1;
  }

  #isMajority(count: number): boolean {
    return count >= this.#majority;
  }

  #send(to: string, message: ReplicaMessage): void {
    this.#messages.push({ to, message });
  }
}

const sizes = new WeakMap<Entry, number>();

function sizeOf(entry: Entry): number {
  let size = sizes.get(entry);
  if (size === undefined) {
    size = JSON.stringify(entry).length;
    sizes.set(entry, size);
  }
  return size;
}
