import { NiiaError } from '../../shared/errors.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { LinkAction } from './link-action.ts';
import { LinkAdmission, type Membership } from './link-admission.ts';
import { type SealedFrame, sealedOverhead } from './link-frames.ts';
import { encodeMessage, parseMessage } from './link-messages.ts';
import type { LinkPath } from './link-path.ts';
import type { LinkPaths } from './link-paths.ts';
import type { Established } from './link-setup.ts';
import { linkLimits as limits } from './link-timing.ts';
import type { LinkTransfer } from './link-transfer.ts';

/** A session that both sides have, from the handshake to its end: what its frames mean, and when it opens. */
export class LinkLive {
  readonly with: Established;
  readonly transfer: LinkTransfer;
  readonly since: number;
  readonly #admission: LinkAdmission;
  readonly #paths: LinkPaths;
  readonly #emit: (action: LinkAction) => void;
  #opened = false;
  /** Messages that came before the other side was admitted, and the bytes of all that came until then. */
  #held: Uint8Array[] = [];
  #strangerBytes = 0;
  /** What the other side was told last: the preferred kind of path, and the counter at which all of it has arrived. */
  #toldPreference: PathKind | null = null;
  #toldUntil = 0;

  constructor(o: {
    established: Established;
    membership: Membership;
    transfer: LinkTransfer;
    paths: LinkPaths;
    emit: (action: LinkAction) => void;
    now: number;
  }) {
    this.with = o.established;
    this.transfer = o.transfer;
    this.since = o.now;
    this.#admission = new LinkAdmission(o.membership, o.established.remoteKey, o.established.roster);
    this.#paths = o.paths;
    this.#emit = o.emit;
  }

  get opened(): boolean {
    return this.#opened;
  }

  /** Throws where the other side cannot be talked to. */
  begin(now: number): void {
    if (typeof this.with.version !== 'number') throw this.with.version;
    this.#admission.begin();
    this.tellNews(now);
    this.#openIfAdmitted();
  }

  /** Throws `not_a_member` where the other side is none any more. */
  rosterChanged(now: number): void {
    this.#admission.rosterChanged();
    this.tellNews(now);
    this.#openIfAdmitted();
  }

  /** Throws where the other side is no member, or sent too much. */
  data(path: LinkPath, frame: SealedFrame, now: number): void {
    const { session } = this.transfer;
    const before = session.received;
    const message = this.transfer.data(path, frame, now);
    if (!this.#opened && session.received > before) {
      // A message without a byte takes room, too.
      this.#strangerBytes += sealedOverhead + frame.ciphertext.length;
      if (this.#strangerBytes > limits.roster + limits.fragment) {
        throw new NiiaError('too_large', 'the other machine sent too much before it was admitted');
      }
    }
    if (!message) return;
    if (message.internal) this.#told(message.bytes, now);
    else if (this.#opened) this.#emit({ do: 'deliver', message: message.bytes });
    else this.#held.push(message.bytes);
  }

  /** Nothing newer is said before the last news arrived: however much changes meanwhile, one roster waits to be sent. */
  tellNews(now: number): void {
    const { outbox } = this.transfer.session;
    if (outbox.acknowledged < this.#toldUntil) return;
    const roster = this.#admission.news();
    const { ownPreference } = this.#paths;
    const news = roster ? [roster] : [];
    if (ownPreference !== this.#toldPreference) news.push(encodeMessage({ type: 'prefer', kind: ownPreference }));
    this.#toldPreference = ownPreference;
    for (const message of news) this.transfer.write(true, message, undefined, now);
    if (news.length > 0) this.#toldUntil = outbox.end;
  }

  /** The only path of this kind was closed here. */
  pathClosed(kind: PathKind, now: number): void {
    if (this.#opened) this.transfer.write(true, encodeMessage({ type: 'closed', kind }), undefined, now);
  }

  #told(message: Uint8Array, now: number): void {
    const said = parseMessage(message);
    if (!said) return;
    if (said.type === 'prefer') {
      if (this.#paths.prefer('theirs', said.kind, now)) this.transfer.moved(now);
      this.#emit({ do: 'changed' });
      return;
    }
    if (said.type === 'closed') {
      this.#paths.closedThere(said.kind);
      this.transfer.judge(now);
      return;
    }
    const { better, reply } = this.#admission.receive(said);
    if (better) this.#emit({ do: 'offer', statements: better.statements });
    if (reply) this.transfer.write(true, reply, undefined, now);
    this.tellNews(now);
    this.#openIfAdmitted();
  }

  #openIfAdmitted(): void {
    const { member } = this.#admission;
    if (this.#opened || !member) return;
    this.#opened = true;
    this.#emit({ do: 'opened', member });
    for (const message of this.#held) this.#emit({ do: 'deliver', message });
    this.#held = [];
    this.#emit({ do: 'changed' });
  }
}
