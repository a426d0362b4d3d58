import * as v from 'valibot';

/** The part of the editor's Memento that is used. */
export interface State {
  get(key: string): unknown;
  update(key: string, value: unknown): Thenable<void>;
}

const key = 'niia.openSessions';
const openSessionSchema = v.object({
  machine: v.string(),
  machineName: v.string(),
  session: v.string(),
  sessionName: v.string(),
});
export type OpenSession = v.InferOutput<typeof openSessionSchema>;

/** Which sessions this window's terminals show, in the order in which they were opened; outlives the window. */
export class OpenSessions {
  readonly #state: State;

  constructor(state: State) {
    this.#state = state;
  }

  /** What another version left and cannot be read is as if it were not there. */
  all(): OpenSession[] {
    const parsed = v.safeParse(v.array(openSessionSchema), this.#state.get(key));
    return parsed.success ? parsed.output : [];
  }

  add(session: OpenSession): void {
    const all = this.all();
    const at = all.findIndex((one) => same(one, session));
    void this.#state.update(key, at < 0 ? [...all, session] : all.with(at, session));
  }

  remove(machine: string, session: string): void {
    void this.#state.update(
      key,
      this.all().filter((one) => !same(one, { machine, session })),
    );
  }
}

function same(a: Pick<OpenSession, 'machine' | 'session'>, b: Pick<OpenSession, 'machine' | 'session'>): boolean {
  return a.machine === b.machine && a.session === b.session;
}
