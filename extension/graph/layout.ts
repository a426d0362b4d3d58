import type { Phase } from '../runs/run-state.ts';

/** In pixels of a screen; the origin is at the upper left. */
export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  width: number;
  height: number;
  /** Around the workers of each phase, in the order of the phases. */
  frames: Array<Rectangle & { phase: string }>;
  boxes: Array<Rectangle & { worker: string }>;
  /** `after`: the phase, or the worker, that comes first. `path`: an SVG path from it to `of`. */
  edges: Array<{ kind: 'phase' | 'needs'; after: string; of: string; path: string }>;
}

/** What there is to be laid out. */
export type GraphPhase = Pick<Phase, 'name'> & { workers: ReadonlyArray<{ name: string; needs: readonly string[] }> };

const margin = 12;
const box = { width: 220, height: 60 };
const gap = { x: 40, y: 14 };
const frame = { padding: 14, title: 30, gap: 48 };
/** Workers below each other; further ones stand in a column of their own. */
export const mostRows = 8;

/**
 * Phases from left to right. In each, a worker stands to the right of those of the phase that it needs. The same phases
 * always lie the same way.
 */
export function layoutRun(phases: readonly GraphPhase[]): Layout {
  const columns = phases.map((phase) => columnsOf(phase));
  const rows = Math.max(0, ...columns.flat().map((column) => column.length));
  const inner = stacked(rows, box.height, gap.y);
  const height = frame.title + inner + frame.padding;
  const layout: Layout = { width: margin, height: height + 2 * margin, frames: [], boxes: [], edges: [] };
  for (const [index, { name }] of phases.entries()) {
    const own = columns[index] ?? [];
    const width = stacked(own.length, box.width, gap.x) + 2 * frame.padding;
    const left = layout.width + (index === 0 ? 0 : frame.gap);
    layout.frames.push({ phase: name, x: left, y: margin, width, height });
    for (const [at, workers] of own.entries()) {
      // Few workers beside many stand in the middle of the height.
      const above = (inner - stacked(workers.length, box.height, gap.y)) / 2;
      for (const [row, worker] of workers.entries()) {
        const x = left + frame.padding + at * (box.width + gap.x);
        const y = margin + frame.title + above + row * (box.height + gap.y);
        layout.boxes.push({ worker, x, y, ...box });
      }
    }
    layout.width = left + width;
  }
  layout.width += margin;
  layout.edges = [...phaseEdges(layout), ...needsEdges(phases, layout)];
  return layout;
}

/** Its workers by how many come one after the other before them, split where there are more than `mostRows`. */
function columnsOf({ workers }: GraphPhase): string[][] {
  const needs = new Map(workers.map((worker) => [worker.name, worker.needs]));
  const depths = new Map<string, number>();
  const depth = (name: string): number => {
    const known = depths.get(name);
    if (known !== undefined) return known;
    // Met again on the way: no file says so, and it must not go round for ever.
    depths.set(name, 0);
    const before = (needs.get(name) ?? []).filter((need) => needs.has(need)).map((need) => depth(need) + 1);
    const own = Math.max(0, ...before);
    depths.set(name, own);
    return own;
  };
  const columns: string[][] = [];
  for (const { name } of workers) {
    const at = depth(name);
    while (columns.length <= at) columns.push([]);
    columns[at]?.push(name);
  }
  return columns.flatMap((column) => {
    const parts = Math.ceil(column.length / mostRows);
    return Array.from({ length: parts }, (_, part) => column.slice(part * mostRows, (part + 1) * mostRows));
  });
}

function phaseEdges({ frames }: Layout): Layout['edges'] {
  return frames.slice(1).flatMap((to, index) => {
    const from = frames[index];
    return from ? [{ kind: 'phase' as const, after: from.phase, of: to.phase, path: pathBetween(from, to) }] : [];
  });
}

function needsEdges(phases: readonly GraphPhase[], { boxes }: Layout): Layout['edges'] {
  const places = new Map(boxes.map((place) => [place.worker, place]));
  return phases.flatMap(({ workers }) =>
    workers.flatMap((worker) =>
      worker.needs.flatMap((need) => {
        const from = places.get(need);
        const to = places.get(worker.name);
        return from && to
          ? [{ kind: 'needs' as const, after: need, of: worker.name, path: pathBetween(from, to) }]
          : [];
      }),
    ),
  );
}

/** From the middle of the right side to the middle of the left one, level at both ends. */
function pathBetween(from: Rectangle, to: Rectangle): string {
  const start = { x: from.x + from.width, y: from.y + from.height / 2 };
  const end = { x: to.x, y: to.y + to.height / 2 };
  const bend = Math.max(12, Math.abs(end.x - start.x) / 2);
  return `M ${start.x} ${start.y} C ${start.x + bend} ${start.y} ${end.x - bend} ${end.y} ${end.x} ${end.y}`;
}

function stacked(count: number, size: number, between: number): number {
  return Math.max(0, count * size + (count - 1) * between);
}
