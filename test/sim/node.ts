import { Mesh, type MeshOptions } from '../../daemon/mesh/mesh.ts';
import type { Identity } from '../../daemon/team/identity.ts';
import { Roster } from '../../daemon/team/roster.ts';
import type { PathKind } from '../../shared/protocol/shapes.ts';
import type { Transport } from '../../shared/transport/transport.ts';
import { MachineClock, type SimTime } from './clock.ts';
import { SimEnd, type WireShape } from './wire.ts';

/** A mesh in simulated time whose user notes what comes, for tests of single rules. */
export class SimNode {
  readonly identity: Identity;
  readonly clock: MachineClock;
  readonly mesh: Mesh;
  roster: Roster;
  /** Open links by machine id. */
  readonly links = new Map<string, Transport>();
  opened = 0;
  readonly ended: Error[] = [];
  /** What came, as text, and when. */
  readonly got: Array<{ text: string; at: number }> = [];
  /** Called with what comes, instead of noting it. */
  received: ((bytes: Uint8Array) => void) | undefined;
  writable: () => void = () => undefined;

  constructor(identity: Identity, roster: Roster, time: SimTime, tuning: NonNullable<MeshOptions['tuning']> = {}) {
    this.identity = identity;
    this.roster = roster;
    this.clock = new MachineClock(time, 0);
    this.mesh = new Mesh({
      identity,
      roster: () => this.roster,
      offerRoster: (statements) => {
        const offered = Roster.verify(statements);
        if (this.roster.losesTo(offered)) this.setRoster(offered);
      },
      opened: (remote, transport) => {
        this.opened++;
        this.links.set(remote.id, transport);
        transport.start({
          message: (bytes) => {
            if (this.received) this.received(bytes);
            else this.got.push({ text: Buffer.from(bytes).toString(), at: time.now });
          },
          writable: () => this.writable(),
          closed: (error) => {
            this.links.delete(remote.id);
            if (error) this.ended.push(error);
          },
        });
      },
      changed: () => undefined,
      log: { debug: () => undefined, info: () => undefined },
      clock: this.clock,
      tuning,
    });
  }

  setRoster(roster: Roster): void {
    this.roster = roster;
    this.mesh.rosterChanged();
  }

  send(to: SimNode, text: string): void {
    const link = this.links.get(to.identity.id);
    if (!link) throw new Error('no link is open');
    link.send(Buffer.from(text));
  }

  get texts(): string[] {
    return this.got.map(({ text }) => text);
  }
}

/** A path between two nodes, there at once on both sides. */
export function connect(
  time: SimTime,
  a: SimNode,
  b: SimNode,
  kind: PathKind,
  shape: Partial<WireShape> = {},
): [SimEnd, SimEnd] {
  const whole = { delay: 10, jitter: 0, rate: 1e9, ...shape };
  const ends: [SimEnd, SimEnd] = [new SimEnd(time, a.clock, whole, () => 0), new SimEnd(time, b.clock, whole, () => 0)];
  SimEnd.pair(...ends);
  a.mesh.addPath(b.identity.id, kind, ends[0]);
  b.mesh.addPath(a.identity.id, kind, ends[1]);
  return ends;
}
