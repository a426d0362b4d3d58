import type { CommandId, Target } from './command-ids.ts';
import type { RowView } from './machine-text.ts';
import { machineRow, sessionRow } from './machine-text.ts';
import type { TeamModel } from './team-model.ts';

/** What stands in a row. The same machine or session is the same object for as long as it is shown. */
export type TreeNode = MachineNode | SessionNode | ActionNode;

export interface MachineNode extends Required<Pick<Target, 'machine'>> {
  readonly kind: 'machine';
  row: RowView;
}

export interface SessionNode extends Required<Pick<Target, 'machine' | 'session'>> {
  readonly kind: 'session';
  row: RowView;
}

/** An offer below the machines. */
export interface ActionNode {
  readonly kind: 'action';
  readonly label: string;
  readonly icon: string;
  readonly tooltip: string;
  readonly command: CommandId;
}

const invite: ActionNode = {
  kind: 'action',
  label: 'Invite a machine…',
  icon: 'person-add',
  tooltip: 'Makes a one-time code with which another machine joins this team',
  command: 'niia.invite',
};
const join: ActionNode = {
  kind: 'action',
  label: 'Join a team…',
  icon: 'plug',
  tooltip: 'Takes the code that another machine made, and makes this machine a member of its team',
  command: 'niia.join',
};

/** The view's rows as a tree, kept in step with the model; says which of them look different. */
export class TreeNodes {
  readonly #model: TeamModel;
  readonly #machines = new Map<string, MachineNode>();
  readonly #children = new Map<string, SessionNode[]>();
  #roots: TreeNode[] = [];

  constructor(model: TeamModel) {
    this.#model = model;
    this.update(new Date());
  }

  get roots(): TreeNode[] {
    return this.#roots;
  }

  children(node: TreeNode): TreeNode[] {
    return node.kind === 'machine' ? (this.#children.get(node.machine) ?? []) : [];
  }

  parent(node: TreeNode): TreeNode | undefined {
    return node.kind === 'session' ? this.#machines.get(node.machine) : undefined;
  }

  /** Takes in what the model tells now; returns the rows that must be drawn again with all below them. */
  update(now: Date): TreeNode[] | 'all' {
    const machines = this.#model.machines ?? [];
    const before = this.#roots;
    const changed = machines.flatMap((machine): TreeNode[] => {
      const sessions = this.#updateSessions(machine.id, machine.name, now);
      const row = machineRow(machine, now);
      const known = this.#machines.get(machine.id);
      if (!known) {
        this.#machines.set(machine.id, { kind: 'machine', machine: machine.id, row });
        return [];
      }
      const same = equal(known.row, row);
      known.row = row;
      if (!same || sessions.moved) return [known];
      return sessions.changed;
    });
    const present = new Set(machines.map(({ id }) => id));
    for (const id of [...this.#machines.keys()]) {
      if (present.has(id)) continue;
      this.#machines.delete(id);
      this.#children.delete(id);
    }
    this.#roots = machines.flatMap(({ id }) => this.#machines.get(id) ?? []);
    if (machines.length === 1) this.#roots.push(invite, join);
    const moved = before.length !== this.#roots.length || before.some((node, at) => node !== this.#roots[at]);
    return moved ? 'all' : changed;
  }

  #updateSessions(machine: string, name: string, now: Date): { moved: boolean; changed: SessionNode[] } {
    const before = this.#children.get(machine) ?? [];
    const changed: SessionNode[] = [];
    const nodes = (this.#model.sessions(machine) ?? []).map((session): SessionNode => {
      const row = sessionRow(session, name, now);
      const known = before.find((node) => node.session === session.id);
      if (!known) return { kind: 'session', machine, session: session.id, row };
      if (!equal(known.row, row)) changed.push(known);
      known.row = row;
      return known;
    });
    this.#children.set(machine, nodes);
    const moved = before.length !== nodes.length || before.some((node, at) => node !== nodes[at]);
    return { moved, changed };
  }
}

function equal(a: RowView, b: RowView): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
