import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { ScratchpadRemote } from '../../../daemon/connector/attempts/scratchpad.ts';
import { Scratchpad } from '../../../daemon/connector/attempts/scratchpad.ts';
import { Log } from '../../../daemon/home/log.ts';
import type { ScratchFile } from '../../../shared/protocol/run-methods.ts';
import { temporaryFolder } from '../headless/support.ts';
import { Stage } from './stage.ts';

/** The run's scratchpad, in memory. */
class Remote implements ScratchpadRemote {
  readonly files = new Map<string, string>();
  readonly put_: string[] = [];

  async list(): Promise<ScratchFile[]> {
    return [...this.files].map(([path, content]) => described(path, content));
  }

  async get(path: string): Promise<Readable> {
    return Readable.from([Buffer.from(this.files.get(path) ?? '')]);
  }

  async put({ path }: ScratchFile, bytes: () => Promise<Readable>): Promise<void> {
    let content = '';
    for await (const chunk of await bytes()) content += String(chunk);
    this.files.set(path, content);
    this.put_.push(path);
  }
}

function described(path: string, content: string): ScratchFile {
  return { path, size: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

function machine(remote: ScratchpadRemote) {
  const root = temporaryFolder();
  const folder = join(root, 'scratchpad');
  mkdirSync(folder);
  const open = () => {
    const scratchpad = new Scratchpad({ folder, index: join(root, 'index'), log: new Log('test') });
    return { pull: () => scratchpad.pull(remote), push: () => scratchpad.push(remote) };
  };
  const write = (path: string, content: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  };
  const read = (path: string) => readFileSync(join(folder, path), 'utf8');
  return { folder, open, pad: open(), write, read };
}

describe('a scratchpad', () => {
  test('is kept in step over machines: what one writes the others find, each file carried once', async () => {
    const remote = new Remote();
    const [a, b] = [machine(remote), machine(remote)];
    a.write('notes.txt', 'from a');
    a.write('deep/er/plan.txt', 'plan');
    await a.pad.push();
    await a.pad.push();
    expect(remote.put_.sort()).toEqual(['deep/er/plan.txt', 'notes.txt']);
    await b.pad.pull();
    expect([b.read('notes.txt'), b.read('deep/er/plan.txt')]).toEqual(['from a', 'plan']);
    b.write('notes.txt', 'from b');
    // A later daemon knows what was carried.
    await b.open().push();
    expect(remote.put_).toHaveLength(3);
    await a.pad.pull();
    expect(a.read('notes.txt')).toBe('from b');
  });

  test('is the last writer’s, file by file', async () => {
    const remote = new Remote();
    const [a, b] = [machine(remote), machine(remote)];
    a.write('both', 'first');
    await a.pad.push();
    await b.pad.pull();
    a.write('both', 'of a');
    b.write('both', 'of b');
    await a.pad.push();
    // What was written here since is not lost to what came first.
    await b.pad.pull();
    expect(b.read('both')).toBe('of b');
    await b.pad.push();
    await a.pad.pull();
    expect(a.read('both')).toBe('of b');
  });

  test.each(['../out', '/etc/niia-test', 'a/../../out', '.', '', 'a//b', 'link/out'])(
    'takes no file whose name leads out of it: %s',
    async (path) => {
      const remote = new Remote();
      const { pad, folder } = machine(remote);
      const away = temporaryFolder();
      symlinkSync(away, join(folder, 'link'));
      remote.files.set(path, 'bad');
      await expect(pad.pull()).rejects.toMatchObject({ code: 'denied' });
      expect([existsSync(join(folder, '..', 'out')), existsSync(join(away, 'out'))]).toEqual([false, false]);
    },
  );

  test('takes no file that is not what was announced, and carries no link', async () => {
    const remote = new Remote();
    const { pad, folder } = machine(remote);
    remote.files.set('short', 'content');
    remote.list = async () => [{ ...described('short', 'another'), size: 7 }];
    await expect(pad.pull()).rejects.toMatchObject({ code: 'io' });
    expect(existsSync(join(folder, 'short'))).toBe(false);
    symlinkSync('/etc/passwd', join(folder, 'passwd'));
    await pad.push();
    expect(remote.put_).toEqual([]);
  });

  test('is there before an attempt starts, and shared before its outcome is delivered', async () => {
    const stage = await Stage.open();
    const remote = new Remote();
    stage.remote = remote;
    remote.files.set('from-others', 'hello\n');
    const script = 'cat "$NIIA_SCRATCHPAD/from-others"; echo mine > "$NIIA_SCRATCHPAD/from-me"';
    stage.coordinator.takes = false;
    await stage.begin(stage.spec(script, { environment: { scratchpad: true } }));
    await expect.poll(() => stage.coordinator.reports.at(-1)?.step, { timeout: 15_000 }).toBe('delivering');
    expect(remote.files.get('from-me')).toBe('mine\n');
    stage.coordinator.takes = true;
    expect((await stage.delivered({ worker: 'w', epoch: 1 })).text).toBe('hello\n');
  });
});
