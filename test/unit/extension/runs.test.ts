import { describe, expect, it } from 'vitest';
import { targetOf } from '../../../extension/command-ids.ts';
import { checkConnector } from '../../../extension/runs/check-connector.ts';
import type { RunNode } from '../../../extension/runs/run-nodes.ts';
import { RunNodes } from '../../../extension/runs/run-nodes.ts';
import { phasesOf } from '../../../extension/runs/run-state.ts';
import { phaseRow, runRow, workerRow } from '../../../extension/runs/run-text.ts';
import { done, ended, now, shownRun, waiting, worker } from './run-fixtures.ts';

describe('the row of a run', () => {
  it('says how it stands, and since when', () => {
    expect(runRow(shownRun(undefined), now)).toMatchObject({
      ...{ label: 'review', description: 'running · since 14:05', icon: 'sync~spin', color: 'charts.blue' },
      ...{ contextValue: 'run;live;running', spoken: 'run review, running, since 14:05' },
    });
  });

  it('says how long it took once it is over, and what it waits for while it is paused', () => {
    expect(runRow(shownRun(undefined, ended), now)).toMatchObject({
      description: 'succeeded · 12m',
      contextValue: 'run;over;succeeded',
    });
    const paused = runRow(shownRun(undefined, { state: 'paused', why: 'deploy: it may be done' }), now);
    expect(paused.description).toBe('paused · deploy: it may be done · since 14:05');
    expect(paused.contextValue).toBe('run;live;paused');
  });

  it('goes on while those that were cancelled have not ended', () => {
    expect(runRow(shownRun(undefined, { state: 'cancelled' }), now).contextValue).toBe('run;live;cancelled');
  });

  it('says that nothing is known of it while nobody tells', () => {
    const row = runRow(shownRun(undefined, { untold: 'it is offline' }), now);
    expect(row).toMatchObject({ icon: 'question', color: 'disabledForeground' });
    expect(row.description).toContain('box does not answer');
  });
});

describe('the row of a worker', () => {
  it('says where, with which model, since when, and which attempt it is', () => {
    const row = workerRow(worker('tester', { attempt: 2, epoch: 3, lastLine: 'npm [test](x)' }), now);
    expect(row).toMatchObject({
      ...{ label: 'tester', description: 'running · box · opus · since 14:05 · attempt 2' },
      ...{ icon: 'sync~spin', color: 'charts.blue', contextValue: 'worker;running;session' },
      spoken: 'worker tester, running, box, opus, since 14:05, attempt 2',
    });
    expect(row.tooltip).toContain('| Last line | npm \\[test\\]\\(x\\) |');
    expect(row.tooltip).toContain('| Attempt | 2 \\(epoch 3\\) |');
  });

  it('names what failed and where work is kept', () => {
    const kept = [{ machine: 'far', epoch: 1, folder: null, branch: 'niia/review' }];
    const row = workerRow(worker('tester', { state: 'failed', error: 'exit code 3', kept }), now);
    expect(row).toMatchObject({ icon: 'error', color: 'charts.red' });
    expect(row.tooltip).toContain('| Error | exit code 3 |');
    expect(row.tooltip).toContain('| Kept work | far, epoch 1\\: branch niia/review |');
    expect(row.spoken).toContain('exit code 3');
  });

  it('has no terminal before it has a session', () => {
    expect(workerRow(waiting('tester'), now)).toMatchObject({
      description: 'waiting · opus',
      contextValue: 'worker;waiting;no-session',
    });
  });

  it('looks otherwise in each state', () => {
    const states = [
      'waiting',
      'granted',
      'running',
      'blocked',
      'lost',
      'paused',
      'succeeded',
      'failed',
      'cancelled',
    ] as const;
    const icons = states.map((state) => workerRow(worker('w', { state }), now).icon);
    expect(new Set(icons).size).toBe(states.length);
  });
});

describe('phases', () => {
  it('are in the order of the run, and tell of their workers what is most pressing', () => {
    const status = { workers: [done('a'), worker('b'), waiting('c', { phase: 'tell' })] };
    expect(phasesOf(status).map(({ name, state, workers }) => [name, state, workers.length])).toEqual([
      ['find', 'running', 2],
      ['tell', 'waiting', 1],
    ]);
    const stateOf = (...workers: Parameters<typeof phasesOf>[0]['workers']) => phasesOf({ workers })[0]?.state;
    expect(stateOf(done('a'), done('b'))).toBe('succeeded');
    expect(stateOf(done('a'), waiting('b'))).toBe('running');
    expect(stateOf(worker('a'), worker('b', { state: 'blocked' }))).toBe('blocked');
    expect(stateOf(worker('a', { state: 'blocked' }), worker('b', { state: 'failed' }))).toBe('failed');
    expect(stateOf(done('a'), worker('b', { state: 'cancelled' }))).toBe('cancelled');
    const [first] = phasesOf(status);
    expect(first && phaseRow(first).description).toBe('running · 1 of 2 done');
  });
});

describe('the rows of the view', () => {
  const shape = (nodes: readonly RunNode[]): unknown[] =>
    nodes.map((node) => [node.row.label, ...shape(node.children)]);

  it('are runs, below them phases, below them workers, each the same object for as long as it is there', () => {
    const nodes = new RunNodes();
    const run = (...workers: Parameters<typeof shownRun>[0] & object) => [shownRun(workers)];
    expect(nodes.update(run(worker('a'), waiting('b', { phase: 'tell' })), now)).toBe('all');
    expect(shape(nodes.roots)).toEqual([['review', ['find', ['a']], ['tell', ['b']]]]);
    const [root] = nodes.roots;
    const [find, tell] = root?.children ?? [];
    const [a] = find?.children ?? [];
    expect(a?.parent).toBe(find);
    expect(find?.parent).toBe(root);

    expect(nodes.update(run(worker('a'), waiting('b', { phase: 'tell' })), now)).toEqual([]);
    // Its own row alone, where nothing else looks different.
    expect(nodes.update(run(worker('a', { attempt: 2 }), waiting('b', { phase: 'tell' })), now)).toEqual([a]);
    expect(nodes.update(run(done('a'), worker('b', { phase: 'tell' })), now)).toEqual([find, tell]);
    expect(nodes.roots[0]?.children[0]?.children[0]).toBe(a);
    expect(targetOf(a)).toEqual({ run: 'review-3f2a9c', worker: 'a' });
  });

  it('come and go with their runs, and have workers once these are known', () => {
    const nodes = new RunNodes();
    nodes.update([shownRun(undefined)], now);
    const [root] = nodes.roots;
    expect(root?.children).toEqual([]);
    expect(nodes.update([shownRun([worker('a')])], now)).toEqual([root]);
    expect(nodes.update([shownRun([worker('a')], { run: 'other' }), shownRun([worker('a')])], now)).toBe('all');
    expect(nodes.roots[1]).toBe(root);
    expect(nodes.update([], now)).toBe('all');
    expect(nodes.roots).toEqual([]);
  });
});

describe('a connector file that is to be run', () => {
  const text = (content: object) => JSON.stringify({ connector: '2.0', name: 'f', ...content }, null, 2);
  const pipeline = { phases: [{ name: 'find', model: 'codex', prompt: 'Find {{inputs.topic}}.' }] };
  const path = '/work/f.connector.json';

  it('says which inputs have to be asked for, and that this is no error of the file', () => {
    const inputs = { topic: { description: 'What to look for' }, depth: 2, note: { required: false } };
    expect(checkConnector(text({ inputs, pipeline, coordinator: { machines: ['a', 'b'] } }), path)).toEqual({
      ...{ errors: [], warnings: [], notYet: undefined, coordinators: ['a', 'b'] },
      missing: [{ name: 'topic', description: 'What to look for' }],
    });
  });

  it('has every error with its place, and what cannot be run yet by name', () => {
    const { errors } = checkConnector(text({ pipline: pipeline }), path);
    expect(errors).toContainEqual({ line: 4, column: 3, message: expect.stringContaining('did you mean "pipeline"') });
    expect(checkConnector('{', path).errors).toHaveLength(1);
    const mesh = text({ type: 'mesh', agents: [{ id: 'a', model: 'codex', prompt: 'x' }] });
    expect(checkConnector(mesh, path)).toMatchObject({ errors: [], notYet: expect.stringContaining('mesh') });
  });
});
