const clientsKept = 1024;

/** How many bytes each client has typed into a session; of very many clients, the latest. */
export class TypedPositions {
  readonly #typed = new Map<string, number>();

  by(client: string): number {
    return this.#typed.get(client) ?? 0;
  }

  note(client: string, offset: number): void {
    this.#typed.delete(client);
    this.#typed.set(client, offset);
    if (this.#typed.size <= clientsKept) return;
    const [oldest] = this.#typed.keys();
    if (oldest !== undefined) this.#typed.delete(oldest);
  }
}
