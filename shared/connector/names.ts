/** Names, each given once. */
export class Names {
  readonly #taken: Set<string>;

  /** `given`: those that the file itself gives, which nobody else gets. */
  constructor(given: Iterable<string>) {
    this.#taken = new Set(given);
  }

  /** `wanted`, or with the lowest number behind it that makes it a new one. */
  next(wanted: string): string {
    const base = wanted.slice(0, 90);
    let name = base;
    for (let n = 2; this.#taken.has(name); n++) name = `${base}-${n}`;
    this.#taken.add(name);
    return name;
  }
}

/** A name that a shell and a branch take, of any text. */
export function slug(text: string): string {
  const name = text
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '')
    .slice(0, 80);
  return name === '' ? 'worker' : name;
}
