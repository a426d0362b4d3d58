import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { examineConnector, readConnector } from '../../../shared/connector/reader.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { connectorFiles, examine, fixture, problems, withWorkers, workers } from './fixtures.ts';

const ask = { model: 'claude', prompt: 'x' };

describe('files as they were published', () => {
  test.each(connectorFiles('test/fixtures/connector/published'))('$file loads', ({ file, text }) => {
    const { errors, definition, notYet } = examineConnector(text, { file, folder: '/work', draft: true });
    expect(errors).toEqual([]);
    if (/^(meeting|mesh)/.test(file)) expect(notYet).toMatch(/cannot be run yet/);
    else expect(definition?.phases.flatMap((phase) => phase.workers).length).toBeGreaterThan(0);
  });

  test.each([
    ['published/meeting', /a meeting cannot be run yet/],
    ['published/mesh', /a mesh cannot be run yet/],
    ['own/nested', /front\.connector\.json\) cannot be run yet/],
  ])('%s is refused with not_yet', (name, message) => {
    const read = () => readConnector(fixture(name), { file: 'f', folder: '/' });
    expect(read).toThrow(message);
    expect(read).toThrow(expect.objectContaining({ code: 'not_yet', exitCode: 2 }));
  });

  test('workers without names have their phase’s, numbered where there are several', () => {
    expect(Object.keys(workers(fixture('published/by-cost')))).toEqual([
      ...['look-1', 'look-2', 'look-3', 'look-4', 'look-5', 'build', 'test-1', 'test-2'],
    ]);
    expect(Object.keys(workers(fixture('published/two-reviews')))).toEqual(['read-1', 'read-2', 'sum-up']);
    expect(Object.keys(workers(withWorkers([{ ...ask, name: 'p-2' }, ask])))).toEqual(['p-2', 'p-2-2']);
  });

  test('the fallback of models follows for workers whose model the file names', () => {
    const all = workers(fixture('published/by-cost'));
    expect(all['build']?.placements).toEqual([
      { machine: null, model: { alias: 'dear', driver: 'claude', command: null, args: ['--model', 'opus'], env: {} } },
      { machine: null, model: { alias: 'fallback', driver: 'gemini', command: null, args: [], env: {} } },
    ]);
    const plain = workers(withWorkers([ask], { models: { fallback: 'gemini' } }));
    expect(plain['p']?.placements.length).toBe(1);
  });

  test('settings of a session reach the workers, and their phase says otherwise', () => {
    const { 'look-1': look, build } = workers(fixture('published/by-cost'));
    expect(look?.environment).toMatchObject({
      worktree: 'new-login',
      sandbox: { network: false, write: [] },
      scratchpad: true,
    });
    expect(build?.environment).toMatchObject({ worktree: 'new-login', sandbox: null, scratchpad: true });
    expect(workers(fixture('published/two-reviews'))['read-2']?.environment.worktree).toBe('read-read-2');
    const research = workers(fixture('published/without-prompts'), { task: 'x' })['research-1'];
    expect(research).toMatchObject({
      limits: { turnMs: 1_800_000 },
      environment: { env: { MODE: 'careful', DEPTH: '3' }, permission: 'plan', resume: 'a-feature-of-before' },
    });
  });

  test('what has no prompt needs one to be run, and not to be looked at', () => {
    const text = fixture('published/one-session');
    expect(problems(text)).toEqual([expect.stringMatching(/^1:1: a prompt is missing here.*--input task=…$/)]);
    const draft = examineConnector(text, { file: 'f', folder: '/', draft: true });
    expect(draft.errors).toEqual([]);
    expect(draft.warnings.map(({ message }) => message)).toEqual([expect.stringMatching(/a prompt is missing/)]);
  });

  test('the task that a run brings is the prompt, word for word', () => {
    const { definition } = examine(fixture('published/one-session'), { task: 'Say {worker} {{x}}' });
    expect(definition?.inputs).toEqual({ task: 'Say {worker} {{x}}' });
    expect(definition?.phases[0]?.workers).toEqual([
      expect.objectContaining({ name: 'look-around', prompt: '{{inputs.task}}' }),
    ]);
    const { implement } = workers(fixture('published/without-prompts'), { task: 'x' });
    expect(implement?.prompt).toMatch(/^\{\{inputs\.task\}\}\n\n.*phase "implement".*research, implement, verify/s);
  });

  test('what is read and not used is told', () => {
    const warnings = (name: string) => examine(fixture(name)).warnings.map(({ message }) => message);
    expect(warnings('published/with-mcp')).toEqual([expect.stringMatching(/not used yet/)]);
    expect(warnings('published/governed').length).toBe(4);
    expect(warnings('published/two-machines')).toEqual([expect.stringMatching(/"findings" is not used/)]);
    expect(workers(fixture('published/governed'))['front']?.limits.turnMs).toBe(600_000);
  });
});

describe('what we added', () => {
  test('every key arrives where it belongs', () => {
    const { definition } = examine(fixture('own/everything'), { topic: 'ants' });
    expect(definition).toMatchObject({
      name: 'everything',
      folder: '/work',
      inputs: { branch: 'main', topic: 'ants', depth: '2', note: '' },
      machines: { 'build-box': { labels: { cpu: 'many' } }, gpu: { labels: { gpu: 'true' } } },
      coordinators: ['laptop', 'build-box', 'nas'],
      hooks: [
        { url: 'https://example.com/hook', on: ['run', 'worker'], secret: 'HOOK_SECRET' },
        { url: 'http://127.0.0.1:8080/', on: ['run'], secret: null },
      ],
      phases: [
        { name: 'find out', parallel: 2 },
        { name: 'tell', parallel: 1 },
      ],
    });
    const { facts, figures, both, tell } = workers(fixture('own/everything'), { topic: 'ants' });
    const primary = {
      ...{ alias: 'primary', driver: 'exec', command: ['worker', '--quiet', 'two words'], args: ['-v'] },
      env: { LEVEL: '2' },
    };
    expect(facts).toEqual({
      name: 'facts',
      prompt: 'Facts about {{inputs.topic}} on {{ inputs.branch }}, as {worker}.',
      needs: [],
      placements: [
        { machine: { by: 'labels', labels: { cpu: 'many' }, has: ['git', 'jq'], pick: 'spread' }, model: primary },
        { machine: { by: 'name', name: 'nas' }, model: primary },
        {
          machine: { by: 'labels', labels: { gpu: 'true' }, has: [], pick: 'idle' },
          model: { alias: 'wrapped', driver: 'claude', command: ['/opt/bin/claude', '--safe'], args: [], env: {} },
        },
        {
          machine: { by: 'labels', labels: { cpu: 'many' }, has: ['git', 'jq'], pick: 'spread' },
          model: { alias: 'fallback', driver: 'gemini', command: null, args: ['--model', 'gemini-2.5-pro'], env: {} },
        },
      ],
      failoverOn: ['offline', 'quota'],
      environment: {
        ...{ cwd: 'src', worktree: 'try/facts', sandbox: null, scratchpad: false, permission: 'plan', resume: null },
        env: { A: 'worker', B: 'top' },
      },
      output: { file: 'facts.json', json: { type: 'object' }, files: ['*.csv'], maxBytes: 4096 },
      check: 'test -s facts.json',
      retry: { attempts: 2, backoffMs: 500 },
      lease: { ttlMs: 10_000, renewMs: 2_000, lostAfterMs: 60_000 },
      limits: { startMs: 30_000, turnMs: 600_000, stallMs: 0, totalMs: 7_200_000, bytes: 1_000_000 },
      sideEffects: 'none',
    });
    expect(figures).toMatchObject({
      output: { file: null, json: true, files: [], maxBytes: 1 << 20 },
      retry: { attempts: 3, backoffMs: 500 },
      environment: { sandbox: { network: true, write: ['/tmp/cache'] }, scratchpad: true },
      placements: [{ model: { ...primary, alias: 'same' } }, { model: { alias: 'fallback' } }],
    });
    expect(both).toMatchObject({ needs: ['facts', 'figures'], lease: { ttlMs: 20_000, renewMs: 2_000 } });
    expect(both?.placements[0]).toEqual({
      machine: null,
      model: {
        alias: 'piped',
        driver: 'exec',
        command: ['sh', '-c', 'tr a-z A-Z | cat "$@"', 'sh'],
        args: ['x'],
        env: {},
      },
    });
    expect(tell).toMatchObject({ sideEffects: 'external', placements: [{ machine: { by: 'name', name: 'laptop' } }] });
  });

  test('where nothing is said, the defaults hold', () => {
    expect(workers(withWorkers([ask]))['p']).toMatchObject({
      failoverOn: ['offline', 'start_failed', 'crash', 'quota'],
      lease: { ttlMs: 15_000, renewMs: 5_000, lostAfterMs: 30_000 },
      retry: { attempts: 1 },
      sideEffects: 'none',
      check: null,
      output: { file: null, json: null, files: [], maxBytes: 1 << 20 },
    });
  });

  test('parallel is a number, all, or one', () => {
    const parallel = (value: unknown) =>
      examine({ pipeline: { phases: [{ ...ask, workers: 7, parallel: value }] } }).definition?.phases[0]?.parallel;
    expect([parallel(undefined), parallel(true), parallel(false), parallel(3)]).toEqual([7, 7, 1, 3]);
  });

  test('a placement comes once', () => {
    const again = workers(
      withWorkers([{ ...ask, machine: 'a', fallback: [{ machine: 'b' }, { machine: 'a' }, { machine: 'b' }] }]),
    );
    expect(again['p']?.placements.map(({ machine }) => machine)).toEqual([
      { by: 'name', name: 'a' },
      { by: 'name', name: 'b' },
    ]);
  });

  test('a dialogue is a chain of turns, each with all before it', () => {
    const { definition } = examine(fixture('published/top-dialogue'));
    const turns = definition?.phases[0]?.workers ?? [];
    expect(turns.map(({ name, needs }) => [name, needs])).toEqual([
      ['writer.1', []],
      ['reader.1', ['writer.1']],
      ['writer.2', ['reader.1']],
      ['reader.2', ['writer.2']],
    ]);
    expect(turns[0]?.prompt).toContain('The first page of the manual.');
    expect(turns[3]?.prompt.match(/\{\{[^}]*\}\}/g)).toEqual([
      '{{workers.writer.1.output.text}}',
      '{{workers.reader.1.output.text}}',
      '{{workers.writer.2.output.text}}',
    ]);
    expect(turns[3]?.prompt).toContain('You find what is unclear.');
    expect(Object.keys(workers(fixture('published/debate'))).slice(0, 3)).toEqual(['for.1', 'against.1', 'for.2']);
  });
});

describe('what is wrong', () => {
  test.each<[string, unknown, RegExp[]]>([
    ['no object', '[]', [/^1:1: must be an object/]],
    ['nothing', '', [/^1:1: a value is missing here/]],
    ['no JSON', '{"connector": }', [/^1:15: a value is missing here/]],
    [
      'a later version',
      '{"connector": "3.0"}',
      [/^1:15: .*version 3\.0 needs a niia that reads 3\.0; this one reads 2\.0/],
    ],
    ['a later minor version', { connector: '2.10' }, [/version 2\.10 needs/]],
    ['an earlier version', { connector: '1.0' }, [/"1\.0" is no version that is read/]],
    ['a key twice', '{"name": "a",\n "name": "b"}', [/^2:2: the key "name" is there twice/]],
    ['a dangerous key', '{"models": {"__proto__": "claude"}}', [/^1:13: nothing may be called "__proto__"/]],
    [
      'an unknown key',
      '{\n  "conector": "2.0",\n  "pipline": {}\n}',
      [
        /^2:3: unknown key "conector"; did you mean "connector"\?/,
        /^3:3: unknown key "pipline"; did you mean "pipeline"\?/,
      ],
    ],
    [
      'an unknown key far down',
      withWorkers([{ ...ask, promt: 'y', machine: { label: {} } }]),
      [/^11:7: unknown key "promt"; did you mean "prompt"\?/, /^13:8: unknown key "label"; did you mean "labels"\?/],
    ],
    [
      'wrong kinds',
      withWorkers([{ model: 5, prompt: [], check: '' }]),
      [/: must be a text, not 5$/, /: must be a text, not a list$/, /: must not be empty$/],
    ],
    ['a number of no workers', { pipeline: { phases: [{ ...ask, workers: 0 }] } }, [/: must be at least 1/]],
    [
      'workers of no kind',
      { pipeline: { phases: [{ ...ask, workers: 'two' }] } },
      [/: must be a number or a list, not "two"/],
    ],
    ['no phases', { pipeline: { phases: [] } }, [/: must not be empty/]],
    ['nothing to run', { connector: '2.0' }, [/^1:1: "pipeline" is missing/]],
    [
      'a time without a unit',
      withWorkers([ask], { lease: { ttl: '15', renew: 5 } }),
      [/: must be a time, as "500ms", "3s"/, /: must be a text, not 5/],
    ],
    [
      'a lease that ends before it is renewed',
      withWorkers([ask], { lease: { ttl: '4s' } }),
      [/: renew \(5000 ms\) must be shorter than ttl \(4000 ms\)/],
    ],
    [
      'a lease that two could hold',
      withWorkers([{ ...ask, lease: { lostAfter: '15s' } }]),
      [/ttl than lostAfter \(15000 ms\)/],
    ],
    [
      'no time at all',
      withWorkers([ask], { limits: { turn: '0s', total: '9999d' } }),
      [/: must be more than 0 and at most a year, not "0s"/, /not "9999d"/],
    ],
    [
      'a model that nobody knows',
      withWorkers([{ ...ask, model: 'calude' }]),
      [/^9:16: "calude" is none of models.*did you mean "claude"\?/],
    ],
    [
      'a model in models that nobody knows',
      withWorkers([{ ...ask, model: 'm' }], { models: { m: 'whatever' } }),
      [/"whatever" is none of models/],
    ],
    [
      'models that name each other',
      withWorkers([{ ...ask, model: 'm' }], { models: { m: 'n', n: 'm' } }),
      [/none of models/, /none of models/],
    ],
    [
      'a driver without its command',
      withWorkers([{ ...ask, model: 'm' }], { models: { m: { driver: 'exec' } } }),
      [/the driver exec needs a command/],
    ],
    [
      'an unknown driver',
      withWorkers([{ ...ask, model: 'm' }], { models: { m: { driver: 'codx', command: 'x' } } }),
      [/"codx" is no driver; did you mean "codex"/],
    ],
    [
      'an open quote',
      withWorkers([{ ...ask, model: 'm' }], { models: { m: { command: "a 'b" } } }),
      [/a ' that does not end/],
    ],
    ['exec as a name', withWorkers([{ ...ask, model: 'exec' }]), [/"exec" needs a command/]],
    ['no model', withWorkers([{ prompt: 'x' }]), [/: a model is missing here/]],
    [
      'a name twice',
      withWorkers([
        { ...ask, name: 'w' },
        { ...ask, name: 'w' },
      ]),
      [/: there is another worker "w"/],
    ],
    ['a name for no shell', withWorkers([{ ...ask, name: 'a b' }]), [/: must be 1 to 100 letters/]],
    [
      'a need of nobody',
      withWorkers([
        { ...ask, name: 'first' },
        { ...ask, needs: ['frist'] },
      ]),
      [/there is no worker "frist"; did you mean "first"/],
    ],
    ['a need of oneself', withWorkers([{ ...ask, name: 'w', needs: 'w' }]), [/"w" cannot need itself/]],
    [
      'needs in a circle',
      withWorkers([
        { ...ask, name: 'a', needs: 'c' },
        { ...ask, name: 'b', needs: ['a'] },
        { ...ask, name: 'c', needs: 'b' },
      ]),
      [/^12:16: needs go round in a circle: "a" needs "c" needs "b" needs "a"/],
    ],
    [
      'a branch that git refuses',
      withWorkers([ask], { session: { worktree: '../x' } }),
      [/"\.\.\/x" cannot be a branch/],
    ],
    ['text and file', withWorkers([{ ...ask, output: { text: true, file: 'x' } }]), [/the answer \(text\) or a file/]],
    ['an empty fallback', withWorkers([{ ...ask, fallback: [{}] }]), [/a fallback has another machine/]],
    [
      'too many workers',
      withWorkers([ask, ask], { limits: { max_total_agents: 1 } }),
      [/there are 2 workers, and at most 1/],
    ],
    [
      'an endless dialogue',
      { type: 'dialogue', rounds: 500, participants: [{ model: 'claude', role: 'x' }] },
      [/at most 200 turns/],
    ],
    ['a dialogue of nobody', { pipeline: { phases: [{ type: 'dialogue' }] } }, [/needs participants/]],
    ['a hook to nowhere', withWorkers([ask], { hooks: [{ url: 'ftp://x' }] }), [/must be an http/]],
    ['a hook without an address', withWorkers([ask], { hooks: [{ on: 'run' }] }), [/the key "url" is missing/]],
    [
      'an input that must be given',
      withWorkers([ask], { inputs: { a: null, b: { description: 'x' }, c: { required: true, default: 1 } } }),
      [/the input "a" has no value: --input a=…/, /the input "b" has no value/],
    ],
  ])('%s: every problem, with its place', (_, content, expected) => {
    const found = problems(content);
    expect(found).toEqual(expected.map((message) => expect.stringMatching(message)));
  });

  test('an input that the file does not have is named', () => {
    expect(problems(withWorkers([ask], { inputs: { branch: 'x' } }), { brach: 'y' })).toEqual([
      expect.stringMatching(/there is no input "brach"; did you mean "branch"\?/),
    ]);
  });

  test('all problems are one error of usage, a line each', () => {
    const read = () => readConnector('{"a": 1,\n"b": 2}', { file: 'x.connector.json', folder: '/' });
    expect(read).toThrow(NiiaError);
    expect(read).toThrow(
      /^x\.connector\.json:1:2: unknown key "a"[^\n]*\nx\.connector\.json:2:1: unknown key "b"[^\n]*$/,
    );
    expect(read).toThrow(expect.objectContaining({ code: 'usage', exitCode: 2 }));
  });

  test('comments, trailing commas, a byte order mark and line ends of any kind', () => {
    const text = '\ufeff// a team\r\n{"models": {"primary": "claude",},\r\n /* to do */ "task": "x",\r"nmae": "y"}';
    expect(problems(text)).toEqual([expect.stringMatching(/^4:1: unknown key "nmae"; did you mean "name"/)]);
  });

  test('a tower of brackets and a file without end are refused, not read', () => {
    expect(problems('['.repeat(100_000))).toEqual([expect.stringMatching(/^1:65: nested deeper than 64/)]);
    expect(problems(`"${'x'.repeat(5 << 20)}"`)).toEqual([expect.stringMatching(/^1:1: longer than/)]);
  });
});

describe('any input', () => {
  const look = (text: string) => {
    const { definition, errors, notYet } = examine(text);
    // It means something, or something is said about it, at a place that there is.
    expect(definition !== undefined || notYet !== undefined || errors.length > 0).toBe(true);
    const lines = text.replace(/^\ufeff/, '').split(/\r\n|\n|\r/);
    const misplaced = errors.filter(({ line, column }) => column < 1 || column > (lines[line - 1]?.length ?? -1) + 1);
    expect(misplaced).toEqual([]);
  };

  test('never crashes the reader: text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), look), { numRuns: 500 });
  });

  test('never crashes the reader: JSON', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => look(text)),
      { numRuns: 500 },
    );
  });

  test('never crashes the reader: files in which something was changed', () => {
    const files = [
      ...connectorFiles('test/fixtures/connector/published'),
      ...connectorFiles('test/fixtures/connector/own'),
    ];
    const bit = fc.oneof(
      fc.constantFrom(
        '"',
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        'null',
        '-1',
        '{{',
        '{worker}',
        '\\',
        '"__proto__":1,',
        '\n',
        '1e999',
      ),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...files), fc.nat(), fc.nat(20), bit, ({ text }, at, cut, put) => {
        const from = at % text.length;
        look(text.slice(0, from) + put + text.slice(from + cut));
      }),
      { numRuns: 2_000 },
    );
  });

  test('never crashes the reader: files in which a value was exchanged', () => {
    const files = [
      ...connectorFiles('test/fixtures/connector/published'),
      ...connectorFiles('test/fixtures/connector/own'),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...files), fc.nat(), fc.json({ maxDepth: 2 }), ({ text }, which, value) => {
        const values = [...text.matchAll(/(?<=: )("[^"]*"|\d+|true|false)/g)];
        const chosen = values[which % values.length];
        if (!chosen) return;
        look(text.slice(0, chosen.index) + value + text.slice(chosen.index + chosen[0].length));
      }),
      { numRuns: 1_000 },
    );
  });
});
