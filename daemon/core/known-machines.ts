import * as v from 'valibot';
import type { MachineInfo } from '../../shared/protocol/shapes.ts';
import { pathKinds } from '../../shared/protocol/shapes.ts';
import { readIfThere, writeAtomically } from '../home/files.ts';
import type { Home } from '../home/home.ts';
import { parseJson } from '../home/json-file.ts';
import type { Log } from '../home/log.ts';

const knownSchema = v.object({
  /** When it was last there, ISO 8601. */
  lastSeen: v.string(),
  /** The path by which it was reached then. */
  path: v.nullable(v.picklist(pathKinds)),
});
export type Known = v.InferOutput<typeof knownSchema>;
const fileSchema = v.object({ machines: v.record(v.string(), knownSchema) });

/** When and how the other machines were last there, over restarts of this daemon: `machines.json` in the home. */
export class KnownMachines {
  readonly #path: string;
  readonly #log: Pick<Log, 'warn'>;
  readonly #known = new Map<string, Known>();
  #online = new Set<string>();
  readonly #now: () => Date;

  constructor(home: Home, log: Pick<Log, 'warn'>, now: () => Date = () => new Date()) {
    this.#path = home.path('machines.json');
    this.#log = log;
    this.#now = now;
    const text = readIfThere(this.#path);
    if (text === undefined) return;
    const parsed = v.safeParse(fileSchema, parseJson(text));
    // It only makes a message say more; a daemon starts without it as well.
    if (!parsed.success) log.warn('what was known of other machines cannot be read', { path: this.#path });
    else for (const [id, known] of Object.entries(parsed.output.machines)) this.#known.set(id, known);
  }

  of(id: string): Known | undefined {
    return this.#known.get(id);
  }

  /** The list as it is now. Written when a machine comes or goes. */
  update(machines: readonly MachineInfo[]): void {
    const others = machines.filter(({ self }) => !self);
    const online = new Set(others.filter((one) => one.online).map(({ id }) => id));
    let news = false;
    for (const { id, online: there, path } of others) {
      if (there === this.#online.has(id)) {
        // A path is known a moment after the machine is.
        const known = this.#known.get(id);
        if (known && path !== null) known.path = path;
        continue;
      }
      this.#known.set(id, { lastSeen: this.#now().toISOString(), path: path ?? this.#known.get(id)?.path ?? null });
      news = true;
    }
    const members = new Set(others.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!members.has(id)) news = this.#known.delete(id) || news;
    this.#online = online;
    if (news) this.#save();
  }

  /** This daemon ends: whoever is there now was last seen now. */
  close(): void {
    for (const id of this.#online) {
      const known = this.#known.get(id);
      if (known) known.lastSeen = this.#now().toISOString();
    }
    if (this.#online.size > 0) this.#save();
  }

  #save(): void {
    try {
      writeAtomically(this.#path, `${JSON.stringify({ machines: Object.fromEntries(this.#known) }, null, 2)}\n`);
    } catch (error) {
      this.#log.warn('what is known of other machines could not be saved', { error });
    }
  }
}
