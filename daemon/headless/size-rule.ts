import type { Size } from '../../shared/protocol/shapes.ts';

/**
 * Whose window decides the size of an interactive session: of the viewer who typed last; of the only one; when that one
 * leaves, of whoever typed before. Each change says which size holds now, where one follows from it. Viewers who only
 * read take no part.
 */
export class SizeRule<Viewer> {
  readonly #viewers = new Map<Viewer, { size: Size; typed: number }>();
  #owner: Viewer | undefined;
  #typings = 0;

  joined(viewer: Viewer, size: Size): Size | undefined {
    this.#viewers.set(viewer, { size, typed: 0 });
    if (this.#owner !== undefined) return undefined;
    this.#owner = viewer;
    return size;
  }

  typed(viewer: Viewer): Size | undefined {
    const known = this.#viewers.get(viewer);
    if (!known) return undefined;
    known.typed = ++this.#typings;
    if (this.#owner === viewer) return undefined;
    this.#owner = viewer;
    return known.size;
  }

  resized(viewer: Viewer, size: Size): Size | undefined {
    const known = this.#viewers.get(viewer);
    if (!known) return undefined;
    known.size = size;
    return this.#owner === viewer ? size : undefined;
  }

  left(viewer: Viewer): Size | undefined {
    this.#viewers.delete(viewer);
    if (this.#owner !== viewer) return undefined;
    this.#owner = undefined;
    let next: { size: Size; typed: number } | undefined;
    for (const [other, known] of this.#viewers) {
      // Of those who never typed, the one who came last.
      if (next && known.typed < next.typed) continue;
      next = known;
      this.#owner = other;
    }
    return next?.size;
  }
}
