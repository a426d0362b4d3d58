import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MachineChoice } from '../../../shared/connector/definition.ts';
import type { MachineView } from '../../../shared/connector/placement.ts';
import { place } from '../../../shared/connector/placement.ts';
import { planRun } from '../../../shared/connector/plan.ts';
import { examine, withWorkers } from './fixtures.ts';

function machine(name: string, more: Partial<MachineView> = {}): MachineView {
  return { name, id: `id-${name}`, online: true, self: false, labels: {}, sessions: 0, ...more };
}

const laptop = machine('laptop', { self: true, sessions: 3 });
const gpu1 = machine('gpu-1', { labels: { gpu: 'yes' }, sessions: 2 });
const gpu2 = machine('gpu-2', { labels: { gpu: 'yes' }, sessions: 1 });
const away = machine('nas', { online: false, labels: { disk: 'big' } });
const team = [gpu1, away, laptop, gpu2];

const labels = (more: Partial<Extract<MachineChoice, { by: 'labels' }>> = {}): MachineChoice => {
  return { by: 'labels', labels: { gpu: 'yes' }, has: [], pick: 'idle', ...more };
};

function placed(choice: MachineChoice, machines = team, load = new Map<string, number>(), declared = {}): string {
  const found = place(choice, machines, load, declared);
  return 'machine' in found ? found.machine.name : found.none;
}

describe('a place for a worker', () => {
  test('without a choice it is the one that coordinates', () => {
    expect(placed(null)).toBe('laptop');
  });

  test('a name is a machine’s name or id, and it must be online', () => {
    expect(placed({ by: 'name', name: 'gpu-2' })).toBe('gpu-2');
    expect(placed({ by: 'name', name: 'id-gpu-1' })).toBe('gpu-1');
    expect(placed({ by: 'name', name: 'nas' })).toBe('nas is offline');
    expect(placed({ by: 'name', name: 'laptpo' })).toBe(
      'no machine of the team is called laptpo; did you mean "laptop"?',
    );
  });

  test('of several with the labels: the idlest, the first, or the one with the least of this run', () => {
    expect(placed(labels())).toBe('gpu-2');
    expect(placed(labels({ pick: 'first' }))).toBe('gpu-1');
    expect(placed(labels({ pick: 'spread' }), team, new Map([['id-gpu-1', 1]]))).toBe('gpu-2');
    expect(placed(labels({ pick: 'spread' }), team, new Map([['id-gpu-2', 1]]))).toBe('gpu-1');
    expect(placed(labels({ labels: { gpu: 'no' } }))).toBe('no machine has gpu=no');
    expect(placed(labels({ labels: { disk: 'big' } }))).toBe('nas is offline');
    // A label that every object seems to have.
    expect(placed(labels({ labels: { toString: 'x' } }))).toBe('no machine has toString=x');
  });

  test('what was granted a moment ago counts, though its session is not there yet', () => {
    expect(placed(labels(), team, new Map([['id-gpu-2', 4]]))).toBe('gpu-1');
  });

  test('machines that lack a program are passed over; those that nobody asked are not', () => {
    const asked = [gpu1, { ...gpu2, lacks: ['cargo'] }];
    expect(placed(labels({ has: ['cargo'] }), asked)).toBe('gpu-1');
    expect(placed(labels({ has: ['cargo'] }), [{ ...gpu2, lacks: ['cargo'] }])).toBe('gpu-2 lacks some of cargo');
  });

  test('the file may give labels to a machine, and a name to labels', () => {
    const declared = { laptop: { labels: { quiet: 'yes' } }, 'the gpu': { labels: { gpu: 'yes' } } };
    expect(placed(labels({ labels: { quiet: 'yes' } }), team, new Map(), declared)).toBe('laptop');
    expect(placed({ by: 'name', name: 'the gpu' }, team, new Map(), declared)).toBe('gpu-2');
  });

  test('it does not depend on the order in which machines are told, and never is one that does not fit', () => {
    const view = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      online: fc.boolean(),
      sessions: fc.nat(3),
      labels: fc.constantFrom<Record<string, string>>({}, { gpu: 'yes' }),
      lacks: fc.constantFrom<string[]>([], ['jq']),
    });
    const views = fc.uniqueArray(view, { selector: ({ name }) => name });
    const pick = fc.constantFrom('idle' as const, 'first' as const, 'spread' as const);
    const loads = fc.dictionary(fc.constantFrom('id-a', 'id-b', 'id-c'), fc.nat(3));
    fc.assert(
      fc.property(views, pick, loads, (some, how, counts) => {
        const machines = some.map((one) => machine(one.name, one));
        const load = new Map(Object.entries(counts));
        const choice = labels({ pick: how, has: ['jq'] });
        const found = place(choice, machines, load);
        expect(place(choice, [...machines].reverse(), load)).toMatchObject(
          'machine' in found ? found : { none: expect.any(String) },
        );
        const fitting = machines.filter(
          (one) => one.online && one.labels['gpu'] === 'yes' && !one.lacks?.includes('jq'),
        );
        if ('machine' in found) expect(fitting).toContain(found.machine);
        else expect(fitting).toEqual([]);
      }),
    );
  });
});

describe('a plan', () => {
  const ask = { model: 'claude', prompt: 'x' };
  const planned = (list: readonly object[], more: object = {}, machines = team) => {
    const { definition, errors } = examine(withWorkers(list, more));
    if (!definition) throw new Error(JSON.stringify(errors));
    return planRun(definition, machines);
  };

  test('spreads the workers of a phase, and says why each goes where', () => {
    const gpu = { ...ask, machine: { labels: { gpu: 'yes' }, pick: 'spread' } };
    const { workers } = planned([gpu, gpu, gpu, ask]);
    expect(workers.map(({ machine: name }) => name)).toEqual(['gpu-1', 'gpu-2', 'gpu-1', 'laptop']);
    expect(workers[1]).toMatchObject({
      name: 'p-2',
      phase: 'p',
      model: 'claude',
      why: 'gpu=yes; the fewest workers of 2',
      fallback: [],
    });
  });

  test('passes over a machine that is offline now, where failover is allowed', () => {
    const worker = { ...ask, machine: 'nas', fallback: [{ machine: 'gpu-1', model: 'gemini' }] };
    expect(planned([worker]).workers[0]).toMatchObject({
      machine: 'gpu-1',
      model: 'gemini',
      why: expect.stringContaining('nas is offline'),
    });
    expect(planned([{ ...worker, failoverOn: ['crash'] }]).workers[0]).toMatchObject({
      machine: null,
      model: 'claude',
    });
  });

  test('says for each machine what would happen if it vanished', () => {
    const { ifVanished } = planned(
      [
        { ...ask, name: 'safe', machine: 'gpu-1', fallback: [{ machine: 'nas' }, { machine: 'gpu-2' }] },
        { ...ask, name: 'stuck', machine: 'gpu-1', fallback: [{ machine: 'nas' }] },
        { ...ask, name: 'alone', machine: 'gpu-1' },
        { ...ask, name: 'firm', machine: 'gpu-1', failoverOn: [], fallback: [{ machine: 'gpu-2' }] },
        { ...ask, name: 'outside', machine: 'gpu-1', sideEffects: 'external', fallback: [{ machine: 'gpu-2' }] },
      ],
      { coordinator: { machines: ['laptop', 'gpu-1', 'gpu-2'] } },
    );
    expect(ifVanished.map(({ machine: name, run }) => [name, run])).toEqual([
      ['gpu-1', null],
      ['laptop', 'taken over by gpu-1 or gpu-2'],
    ]);
    expect(ifVanished[0]?.workers.map(({ name, machine: next, why }) => [name, next, why])).toEqual([
      ['safe', 'gpu-2', 'named'],
      ['stuck', null, 'waits for gpu-1: no fallback fits (claude: nas is offline)'],
      ['alone', null, 'waits for gpu-1: it has no other fallback'],
      ['firm', null, 'waits for gpu-1: offline is not in its failoverOn'],
      ['outside', null, expect.stringContaining('the run pauses')],
    ]);
  });

  test('two that may coordinate are no majority when one goes', () => {
    const run = (machines: string[] | undefined) =>
      planned([ask], machines && { coordinator: { machines } }).ifVanished[0]?.run;
    expect(run(['laptop', 'gpu-1'])).toMatch(/only where a gateway of its own votes/);
    expect(run(undefined)).toMatch(/nobody takes over/);
  });
});
