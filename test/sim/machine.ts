import { Mesh, type MeshOptions } from '../../daemon/mesh/mesh.ts';
import type { Identity } from '../../daemon/team/identity.ts';
import type { Roster } from '../../daemon/team/roster.ts';
import { NiiaError } from '../../shared/errors.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import type { MachineClock, SimTime } from './clock.ts';

/** Everything in a message follows from these two numbers and its length, so that a wrong byte is seen. */
const headBytes = 8;

function message(epoch: number, sequence: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(headBytes + length, (epoch * 31 + sequence) & 0xff);
  bytes.writeUInt32BE(epoch, 0);
  bytes.writeUInt32BE(sequence, 4);
  return bytes;
}

interface Sent {
  epoch: number;
  sequence: number;
  at: number;
}

/** One daemon of a simulation: a real mesh, and a user that numbers what it sends and checks what it gets. */
export class SimMachine {
  readonly identity: Identity;
  readonly clock: MachineClock;
  readonly #time: SimTime;
  readonly #roster: Roster;
  readonly #report: (problem: string) => void;
  readonly #tuning: NonNullable<MeshOptions['tuning']>;
  mesh: Mesh;
  other: SimMachine | undefined;
  /** How often a link opened and ended here. */
  opened = 0;
  closed = 0;
  received = 0;
  preferred: PathKind | null = null;
  /** Sent over the open link and not received there. */
  pending: Sent[] = [];
  #transport: Transport | undefined;
  #epoch = 0;
  #sequence = 0;
  #backlog: number[] = [];
  /** What the present link is to bring next; the epoch is known with its first message. */
  #from: { epoch: number; sequence: number } | undefined;

  constructor(o: {
    identity: Identity;
    clock: MachineClock;
    time: SimTime;
    roster: Roster;
    report: (problem: string) => void;
    tuning: NonNullable<MeshOptions['tuning']>;
  }) {
    this.identity = o.identity;
    this.clock = o.clock;
    this.#time = o.time;
    this.#roster = o.roster;
    this.#report = o.report;
    this.#tuning = o.tuning;
    this.mesh = this.#start();
  }

  get open(): boolean {
    return this.#transport !== undefined;
  }

  /** Messages that the link does not take yet. */
  get waiting(): number {
    return this.#backlog.length;
  }

  /** Bytes that the user wants to send. */
  send(length: number): void {
    if (this.clock.frozen || !this.#transport) return;
    this.#backlog.push(length);
    this.#flush();
  }

  prefer(kind: PathKind | null): void {
    if (this.clock.frozen) return;
    this.preferred = kind;
    this.mesh.prefer(this.other?.identity.id ?? '', kind);
  }

  /** The process is gone; what it had is lost. The ends of its wires are the network's to kill. */
  crash(): void {
    this.mesh.close(new NiiaError('link_lost', 'crashed'));
    this.#ended();
    this.mesh = this.#start();
    // As a daemon that has it written down.
    this.mesh.prefer(this.other?.identity.id ?? '', this.preferred);
  }

  #start(): Mesh {
    const mesh = new Mesh({
      identity: this.identity,
      roster: () => this.#roster,
      offerRoster: () => this.#report('a roster was offered, and all are the same'),
      opened: (_remote, transport) => this.#opened(mesh, transport),
      changed: () => undefined,
      log: { debug: () => undefined, info: () => undefined },
      clock: this.clock,
      tuning: this.#tuning,
    });
    return mesh;
  }

  #opened(mesh: Mesh, transport: Transport): void {
    if (mesh !== this.mesh) return;
    if (this.#transport) this.#report('a link opened while one was open');
    this.opened++;
    this.#epoch++;
    this.#sequence = 0;
    this.#from = undefined;
    this.pending = [];
    this.#backlog = [];
    this.#transport = transport;
    transport.start({
      message: (bytes) => {
        if (transport === this.#transport) this.#got(bytes);
        else this.#report('a message from a link that ended');
      },
      writable: () => this.#flush(),
      closed: () => {
        if (transport === this.#transport) this.#ended();
      },
    });
  }

  #ended(): void {
    if (!this.#transport) return;
    this.#transport = undefined;
    this.closed++;
    this.pending = [];
    this.#backlog = [];
  }

  #flush(): void {
    while (this.#transport?.writable) {
      const length = this.#backlog.shift();
      if (length === undefined) return;
      const [epoch, sequence] = [this.#epoch, this.#sequence++];
      this.pending.push({ epoch, sequence, at: this.#time.now });
      this.#transport.send(message(epoch, sequence, length));
    }
  }

  #got(bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const [epoch, sequence] = [buffer.readUInt32BE(0), buffer.readUInt32BE(4)];
    this.#from ??= { epoch, sequence: 0 };
    if (epoch !== this.#from.epoch || sequence !== this.#from.sequence) {
      this.#report(`got ${epoch}/${sequence}, not ${this.#from.epoch}/${this.#from.sequence}`);
    }
    this.#from.sequence++;
    if (!buffer.equals(message(epoch, sequence, bytes.length - headBytes))) this.#report('a message was altered');
    this.received++;
    const [next] = this.other?.pending ?? [];
    if (next?.epoch === epoch && next.sequence === sequence) this.other?.pending.shift();
  }
}
