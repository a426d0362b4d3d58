import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Host, Lab, type RouterKind } from '../netlab/lab.ts';
import type { Station } from '../netlab/station.ts';

type Answer = Record<string, string | number>;

/** The lab's agent on a host, as the test speaks with it. */
class Agent {
  readonly heard: Answer[] = [];
  readonly #say: (command: object) => void;
  readonly #answers: Answer[] = [];
  #waiting: ((answer: Answer) => void) | undefined;

  constructor(host: Station) {
    const child = host.spawn([process.execPath, resolve('test/netlab/agent.mjs')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#say = (command) => child.stdin?.write(`${JSON.stringify(command)}\n`);
    createInterface(child.stdout!).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      if ('heard' in answer) this.heard.push({ ...answer, at: performance.now() });
      else if (this.#waiting) this.#waiting(answer);
      else this.#answers.push(answer);
    });
  }

  async ask(command: object, limitMs = 10_000): Promise<Answer> {
    this.#say(command);
    const ready = this.#answers.shift();
    if (ready) return ready;
    let limit: NodeJS.Timeout | undefined;
    try {
      return await new Promise((done, fail) => {
        this.#waiting = done;
        limit = setTimeout(() => fail(new Error(`no answer to ${JSON.stringify(command)}`)), limitMs);
      });
    } finally {
      clearTimeout(limit);
      this.#waiting = undefined;
    }
  }

  async udp(family: 4 | 6 = 4): Promise<number> {
    return (await this.ask({ udp: { family } }))['port'] as number;
  }

  send(address: string, port: number, data: string, times = 1): void {
    this.#say({ send: { address, port, data, times } });
  }

  /** Whether something that starts with `text` arrives (or has) within the time. */
  async hears(text: string, withinMs = 2_000): Promise<Answer | undefined> {
    const until = performance.now() + withinMs;
    for (;;) {
      const found = this.heard.find(({ heard }) => String(heard).startsWith(text));
      if (found || performance.now() > until) return found;
      await pause(5);
    }
  }

  /** As whom the agent at that address sees this one; undefined: no answer. */
  async seenBy(address: string, port: number, withinMs = 2_000): Promise<string | undefined> {
    const before = this.heard.length;
    this.send(address, port, 'who');
    const until = performance.now() + withinMs;
    for (;;) {
      const answer = this.heard.slice(before).find(({ heard }) => String(heard).startsWith('you '));
      if (answer) return String(answer['heard']).slice(4);
      if (performance.now() > until) return undefined;
      await pause(2);
    }
  }
}

let lab: Lab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
});

/** Long enough for a packet that passes, on a busy computer. */
const silenceMs = 250;

describe('the network laboratory', () => {
  const kinds: Array<[RouterKind, { samePort: boolean; unsolicitedPasses: boolean }]> = [
    ['full-cone', { samePort: true, unsolicitedPasses: true }],
    ['port-restricted', { samePort: true, unsolicitedPasses: false }],
    ['symmetric', { samePort: false, unsolicitedPasses: false }],
  ];
  const has = async (kind: RouterKind, { samePort, unsolicitedPasses }: (typeof kinds)[number][1]): Promise<void> => {
    lab = await Lab.open();
    const router = await lab.router(kind);
    const [first, second] = [await lab.host('first'), await lab.host('second')];
    const inner = await lab.host('inner', { behind: router });
    const neighbour = await lab.host('neighbour', { behind: router });
    const agents = [inner, first, second, neighbour].map((host) => new Agent(host));
    const [inside, one, two, beside] = agents as [Agent, Agent, Agent, Agent];
    const ports = await Promise.all(agents.map((agent) => agent.udp()));

    const seenByOne = await inside.seenBy(first.address, ports[1]!);
    const seenByTwo = await inside.seenBy(second.address, ports[2]!);
    expect(seenByOne).toMatch(new RegExp(`^${router.addresses[0]} \\d+$`));
    expect(seenByOne === seenByTwo, `${seenByOne} and ${seenByTwo}`).toBe(samePort);
    // The second remote answers from where it was spoken to; a third party is one that was never spoken to.
    const mapped = Number(seenByOne?.split(' ')[1]);
    const third = await lab.host('third');
    const stranger = new Agent(third);
    await stranger.udp();
    stranger.send(router.addresses[0]!, mapped, 'unsolicited');
    expect((await inside.hears('unsolicited', unsolicitedPasses ? 2_000 : silenceMs)) !== undefined).toBe(
      unsolicitedPasses,
    );
    // Hosts behind one router hear each other without it; nobody outside reaches an inner address.
    expect(await inside.seenBy(neighbour.address, ports[3]!)).toBe(`${inner.address} ${ports[0]}`);
    one.send(inner.address, ports[0]!, 'straight');
    two.send(router.addresses[0]!, 9, 'to the router');
    expect(await inside.hears('straight', silenceMs)).toBeUndefined();
    expect(beside.heard.map(({ heard }) => heard)).toEqual(['who']);
  };
  // Between the other two: it maps as the one and filters as the other.
  const between = ([kind]: (typeof kinds)[number]): boolean => kind === 'port-restricted';
  it.each(kinds.filter((one) => !between(one)))('has %s routers', has);
  it.each(kinds.filter(between))('has %s routers', { tags: 'full' }, has);

  it('forwards nothing behind a proxy router but CONNECT to port 443', async () => {
    lab = await Lab.open();
    const router = await lab.router('proxy');
    const outside = await lab.host('outside');
    const inner = await lab.host('inner', { behind: router });
    const serve = `require('net').createServer((s) => s.end('hello')).listen(443, () => console.log('ready'))`;
    await once(outside.spawn([process.execPath, '-e', serve]).stdout!, 'data');
    const ask = (port: number): string => `
      const r = require('http').request({ host: '${router.inside}', port: 3128, method: 'CONNECT', path: '${outside.address}:${port}' });
      r.on('connect', (res, s, head) => { console.log(res.statusCode); process.stdout.write(head); s.pipe(process.stdout); s.on('end', () => process.exit()); }).end();`;
    expect((await inner.run([process.execPath, '-e', ask(443)])).stdout).toBe('200\nhello');
    expect((await inner.run([process.execPath, '-e', ask(80)])).stdout).toBe('403\n');
    const straight = `require('net').connect({ port: 443, host: '${outside.address}' }, () => console.log('through'))
      .on('error', () => {}); setTimeout(() => process.exit(), ${silenceMs})`;
    expect((await inner.run([process.execPath, '-e', straight])).stdout).toBe('');
    const [a, b] = [new Agent(inner), new Agent(outside)];
    const [, port] = [await a.udp(), await b.udp()];
    expect(await a.seenBy(outside.address, port, silenceMs)).toBeUndefined();
  });

  it('cuts and mends links, blocks UDP and drops one direction, at will', async () => {
    lab = await Lab.open();
    const [x, y] = [await lab.host('x'), await lab.host('y', { families: ['ipv4', 'ipv6'] })];
    const [a, b] = [new Agent(x), new Agent(y)];
    const [, port] = [await a.udp(), await b.udp()];
    const { port: tcp } = await b.ask({ serve: {} });
    const reaches = async (): Promise<boolean> => (await a.seenBy(y.address, port, silenceMs)) !== undefined;
    expect(await reaches()).toBe(true);
    await y.cut();
    expect(await reaches()).toBe(false);
    await y.mend();
    expect(await reaches()).toBe(true);
    await x.unplug();
    expect(await reaches()).toBe(false);
    await x.plug();
    expect(await reaches()).toBe(true);

    await x.blockUdp();
    expect(await reaches()).toBe(false);
    expect(await a.ask({ fetch: { address: y.address, port: tcp, bytes: 1000 } })).toMatchObject({ got: 1000 });
    await x.allowUdp();

    await x.dropFrom(y);
    b.heard.length = 0;
    expect(await reaches()).toBe(false);
    expect(await b.hears('who')).toBeDefined();
    await x.hearFrom(y);
    expect(await reaches()).toBe(true);
    // Nobody is told of a drop: no send has failed.
    expect(a.heard.filter((one) => 'error' in one)).toEqual([]);
  });

  it('has hosts with IPv6 alone', { tags: 'full' }, async () => {
    lab = await Lab.open();
    const [x, y] = [
      await lab.host('x', { families: ['ipv6'] }),
      await lab.host('y', { families: ['ipv4', 'ipv6'] }),
    ] as [Host, Host];
    const [a, b] = [new Agent(x), new Agent(y)];
    const [own, port] = [await a.udp(6), await b.udp(6)];
    expect(await a.seenBy(y.addresses[1]!, port)).toBe(`${x.address} ${own}`);
    expect((await x.run(['ip', '-4', 'route'])).stdout).toBe('');
  });

  it('delays, loses and slows packets as told, within bounds', { tags: 'full' }, async () => {
    lab = await Lab.open();
    const [x, y] = await lab.shaped('x', 'y', { delayMs: 20 });
    const [a, b] = [new Agent(x), new Agent(y)];
    const [, port] = [await a.udp(), await b.udp()];
    const { port: tcp } = await b.ask({ serve: {} });
    const trips: number[] = [];
    for (let n = 0; n < 10; n++) {
      const started = performance.now();
      expect(await a.seenBy(y.address, port)).toBeDefined();
      trips.push(performance.now() - started);
    }
    const [quickest = 0] = trips.sort((p, q) => p - q);
    console.log(`round trip over 2 × 20 ms: ${quickest.toFixed(1)} to ${trips.at(-1)?.toFixed(1)} ms`);
    expect(quickest).toBeGreaterThan(39.9);
    expect(trips[5]).toBeLessThan(60);

    x.shape({ delayMs: 1, lossPercent: 5 });
    await pause(50);
    b.heard.length = 0;
    // In small portions, so that no socket's buffer overflows and adds its own loss.
    for (let n = 0; n < 100; n++) {
      a.send(y.address, port, 'lossy', 40);
      await pause(10);
    }
    await pause(silenceMs);
    const lost = (1 - b.heard.length / 4000) * 100;
    console.log(`lost of 4000 at 5 %: ${lost.toFixed(2)} %`);
    // Six standard deviations of a binomial distribution.
    expect(lost).toBeGreaterThan(2.9);
    expect(lost).toBeLessThan(7.1);

    x.shape({ delayMs: 20, lossPercent: 0, bitsPerSecond: 10e6 });
    await pause(50);
    const bytes = 2_000_000;
    const { got, ms } = await a.ask({ fetch: { address: y.address, port: tcp, bytes } });
    expect(got).toBe(bytes);
    const rate = (bytes * 8) / Number(ms) / 1000;
    console.log(`TCP over 10 Mbit/s and 20 ms: ${rate.toFixed(2)} Mbit/s`);
    expect(rate).toBeGreaterThan(8.5);
    expect(rate).toBeLessThan(10);
  });

  it('leaves no process behind', async () => {
    lab = await Lab.open();
    const host = await lab.host('host');
    const inside = host.namespace.id;
    await once(host.spawn(['sh', '-c', 'setsid sleep 1000 & echo started; exec sleep 1000']).stdout!, 'data');
    expect(inhabitants(inside)).toBeGreaterThan(1);
    await lab.close();
    expect(inhabitants(inside)).toBe(0);
  });

  it('leaves none behind when the run is killed either', async () => {
    lab = await Lab.open();
    const host = await lab.host('host');
    const inside = host.namespace.id;
    await once(host.spawn(['sh', '-c', 'echo started; exec sleep 1000']).stdout!, 'data');
    // Stands for a test run: it holds a reaper, as a lab does.
    const run = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      `
      import { spawn } from 'node:child_process';
      const reaper = spawn(process.execPath, [${JSON.stringify(resolve('test/netlab/reaper.mjs'))}], { detached: true });
      reaper.stdin.write('${inside}\\n', () => console.log('ready'));`,
    ]);
    await once(run.stdout, 'data');
    expect(inhabitants(inside)).toBeGreaterThan(1);
    run.kill('SIGKILL');
    await expect.poll(() => inhabitants(inside), { timeout: 5_000 }).toBe(0);
  });
});

function inhabitants(namespace: string): number {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/ns/net`) === namespace;
    } catch {
      return false; // It ended meanwhile.
    }
  }).length;
}
