import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { graphView, pageMessageSchema } from '../../../extension/graph/graph-view.ts';
import type { GraphPhase, Rectangle } from '../../../extension/graph/layout.ts';
import { layoutRun, mostRows } from '../../../extension/graph/layout.ts';
import { graphPage } from '../../../extension/graph/page.ts';
import { done, now, shownRun, waiting, worker } from './run-fixtures.ts';

const phase = (name: string, needs: Record<string, string[]>): GraphPhase => ({
  name,
  workers: Object.entries(needs).map(([own, list]) => ({ name: own, needs: list })),
});

/** Any phases; workers need earlier ones of their phase, as the reader of files makes sure. */
const anyPhases = fc
  .array(fc.array(fc.array(fc.nat(30), { maxLength: 3 }), { minLength: 1, maxLength: 30 }), { maxLength: 5 })
  .map((phases) =>
    phases.map((workers, p) =>
      phase(
        `p${p}`,
        Object.fromEntries(
          workers.map((needs, w) => [`w${p}-${w}`, needs.filter((need) => need < w).map((need) => `w${p}-${need}`)]),
        ),
      ),
    ),
  );

function apart(a: Rectangle, b: Rectangle): boolean {
  return a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
}

function within(inner: Rectangle, outer: Rectangle): boolean {
  return (
    inner.x >= outer.x &&
    inner.y >= outer.y &&
    inner.x + inner.width <= outer.x + outer.width &&
    inner.y + inner.height <= outer.y + outer.height
  );
}

describe('the layout of a graph', () => {
  it('has every worker once, in the frame of its phase, beside all others, and all of it in the picture', () => {
    fc.assert(
      fc.property(anyPhases, (phases) => {
        const { frames, boxes, width, height } = layoutRun(phases);
        expect(boxes.map((box) => box.worker).sort()).toEqual(
          phases.flatMap(({ workers }) => workers.map(({ name }) => name)).sort(),
        );
        for (const [at, box] of boxes.entries()) {
          const own = frames.find(({ phase }) =>
            phases.find(({ name }) => name === phase)?.workers.some(({ name }) => name === box.worker),
          );
          expect(own && within(box, own)).toBe(true);
          expect(boxes.slice(at + 1).every((other) => apart(box, other))).toBe(true);
        }
        for (const frame of frames) expect(within(frame, { x: 0, y: 0, width, height })).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('goes from left to right: from phase to phase, and from what is needed to what needs it', () => {
    fc.assert(
      fc.property(anyPhases, (phases) => {
        const { frames, boxes, edges } = layoutRun(phases);
        const left = new Map<string, Rectangle>([
          ...frames.map((one) => [one.phase, one] as const),
          ...boxes.map((one) => [one.worker, one] as const),
        ]);
        expect(edges.filter(({ kind }) => kind === 'phase')).toHaveLength(Math.max(0, phases.length - 1));
        for (const { after, of } of edges) {
          const [from, to] = [left.get(after), left.get(of)];
          expect(from && to && from.x + from.width < to.x).toBe(true);
        }
        const needs = phases.flatMap(({ workers }) => workers.flatMap((one) => one.needs));
        expect(edges.filter(({ kind }) => kind === 'needs')).toHaveLength(needs.length);
      }),
      { numRuns: 60 },
    );
  });

  it('makes further columns of many workers, and ends where workers need each other in a ring', () => {
    const many = Object.fromEntries(Array.from({ length: 2 * mostRows + 1 }, (_, at) => [`w${at}`, []]));
    const columns = new Set(layoutRun([phase('p', many)]).boxes.map(({ x }) => x));
    expect(columns.size).toBe(3);
    expect(layoutRun([phase('p', { a: ['b'], b: ['a'], c: ['c'] })]).boxes).toHaveLength(3);
    expect(layoutRun([])).toMatchObject({ frames: [], boxes: [], edges: [] });
  });
});

describe('what the page is told', () => {
  const run = shownRun([
    done('a-worker-with-a-name-that-no-box-can-hold'),
    worker('tester', { phase: 'tell', attempt: 2, lastLine: 'reading', needs: [] }),
    waiting('teller', { phase: 'tell', needs: ['tester'] }),
  ]);

  it('has each worker in words, for the box, for the table and to be said', () => {
    const view = graphView(run, now);
    expect(view.summary).toBe('running · since 14:05 · coordinated by box');
    expect(view.phases).toEqual([
      { name: 'find', state: 'succeeded' },
      { name: 'tell', state: 'running' },
    ]);
    const [long, tester, teller] = view.workers;
    expect(long?.lines[0]).toMatch(/^a-worker-with-a-name.*…$/);
    expect(long?.spoken).toContain('a-worker-with-a-name-that-no-box-can-hold, phase find, succeeded');
    expect(tester?.cells).toEqual(['tester', 'tell', 'running', 'box', 'opus', 'since 14:05', '2', 'reading']);
    expect(tester?.hasTerminal).toBe(true);
    expect(teller).toMatchObject({ hasTerminal: false, spoken: 'teller, phase tell, waiting, opus, after tester' });
    expect(view.layout.edges.map(({ after, of }) => [after, of])).toEqual([
      ['find', 'tell'],
      ['tester', 'teller'],
    ]);
  });

  it('lies where it lay while only states change', () => {
    const later = shownRun(run.status?.workers.map((one) => ({ ...one, state: 'failed', error: 'x' })));
    expect(graphView(later, now).layout).toEqual(graphView(run, now).layout);
  });

  it('is empty while the workers are not known, and says why nothing is told', () => {
    const view = graphView(shownRun(undefined, { untold: 'it is offline' }), now);
    expect(view).toMatchObject({ workers: [], summary: 'running · since 14:05 · coordinated by box · it is offline' });
  });
});

describe('the page of a graph', () => {
  const parts = { nonce: 'n0nce', cspSource: 'https://cdn', script: 's.js', style: 's.css', title: 'Run: <b>"x"</b>' };

  it('lets in its own script and style, and nothing else', () => {
    const html = graphPage(parts);
    const policy = /Content-Security-Policy" content="([^"]+)"/.exec(html)?.[1]?.replaceAll('&#39;', "'");
    expect(policy).toBe("default-src 'none'; style-src https://cdn; script-src 'nonce-n0nce'");
    expect(html.match(/<script[^>]*>/g)).toEqual(['<script nonce="n0nce" src="s.js">']);
    expect(html).not.toMatch(/style="|\son\w+=|<b>/);
  });

  it('says only what is known of it', () => {
    const parse = (message: unknown) => v.safeParse(pageMessageSchema, message).success;
    expect([{ type: 'ready' }, { type: 'open', worker: 'w' }].every(parse)).toBe(true);
    expect([{ type: 'open' }, { type: 'run', command: 'x' }, 'ready', null].some(parse)).toBe(false);
  });
});
