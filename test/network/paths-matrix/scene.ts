import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DaemonClient } from '../../../daemon/cli/daemon-client.ts';
import { Deadline } from '../../../daemon/cli/deadline.ts';
import { Home } from '../../../daemon/home/home.ts';
import { NiiaError } from '../../../shared/errors.ts';
import { streams } from '../../../shared/protocol/session-methods.ts';
import type { Lab } from '../../netlab/lab.ts';
import type { Station } from '../../netlab/station.ts';
import { endLeftovers, TestMachine } from '../../support/machine.ts';

/** Where a scenario's machines stand, and how they are started. */
export interface Site {
  /** None: A and B have never met one. */
  gateway?: Station;
  a: Station;
  b: Station;
  /** A third machine, which listens. */
  neighbour?: Station;
  /** `HOST:PORT` of the gateway; 0.0.0.0:7447 unless said. */
  listen?: string;
  /** More words for `niia up` on B. */
  upB?: string[];
  /** More environment of A. */
  envA?: NodeJS.ProcessEnv;
}

/** A path of the link from A to B as `niia remote status list` shows it, with the time at which it was first seen. */
export interface Sighting {
  path: string | null;
  atMs: number;
}

/** What came of a command that prints while something happens to the network. */
export interface Stream {
  text: string;
  /** The longest time in which nothing arrived, in ms. */
  longestGapMs: number;
  /** From the end of what happened to the network to the next byte, in ms; null: nothing came after it. */
  resumedMs: number | null;
}

const attemptMs = 20_000;

/** A gateway and two machines of one team, A and B, each where its site says. */
export class Scene {
  readonly a: TestMachine;
  readonly b: TestMachine;
  readonly #site: Site;
  readonly #gateway: TestMachine | undefined;
  readonly #neighbour: TestMachine | undefined;
  readonly #scratch: string;
  readonly #clients: DaemonClient[] = [];

  private constructor(site: Site) {
    this.#site = site;
    this.#scratch = mkdtempSync(join(tmpdir(), 'niia-net-'));
    const at = (name: string, station: Station): TestMachine => {
      mkdirSync(join(this.#scratch, name), { mode: 0o700 });
      const machine = new TestMachine(name, join(this.#scratch, name));
      machine.prefix = station.prefix;
      return machine;
    };
    this.#gateway = site.gateway && at('gateway', site.gateway);
    this.#neighbour = site.neighbour && at('C', site.neighbour);
    this.a = at('A', site.a);
    this.b = at('B', site.b);
    Object.assign(this.a.env, site.envA);
    const log = process.env['NIIA_TEST_LOG'];
    if (log) for (const machine of [this.a, this.b]) machine.env['NIIA_LOG'] = log;
  }

  /** Runs `body` with both machines in one team, and ends every process of theirs afterwards. */
  static async with<T>(lab: Lab, site: Site, body: (scene: Scene) => Promise<T>): Promise<T> {
    const scene = new Scene(site);
    try {
      await scene.#form();
      return await body(scene);
    } catch (error) {
      if (process.env['NIIA_TEST_KEEP']) console.error(`kept: ${scene.#scratch}`);
      throw error;
    } finally {
      for (const client of scene.#clients) client.close();
      // The lab's end is the end of all that runs in it; what left it is found by its home.
      await lab.close();
      for (const name of readdirSync(scene.#scratch)) endLeftovers(join(scene.#scratch, name));
      if (!process.env['NIIA_TEST_KEEP']) rmSync(scene.#scratch, { recursive: true, force: true });
    }
  }

  async #form(): Promise<void> {
    const { upB = [] } = this.#site;
    const url = this.#gateway && (await this.#startGateway(this.#gateway));
    await this.a.ok('up', ...(url ? ['--gateway', url] : []));
    if (url)
      await this.#until(
        async () => (await this.#client(this.a).ask('daemon.status', {})).gateway.state === 'connected',
      );
    if (upB.length > 0) await this.b.ok('up', ...upB);
    await this.b.ok('join', await this.a.ok('invite'));
    if (!this.#neighbour) return;
    await this.#neighbour.ok('up', '--listen', '0.0.0.0:7447');
    await this.#neighbour.ok('join', await this.a.ok('invite'));
    for (const machine of [this.a, this.b]) {
      await this.#until(async () => (await this.#path(this.#client(machine), 'C')) === 'direct');
    }
  }

  async #startGateway(machine: TestMachine): Promise<string> {
    const child = machine.spawn(['gateway', '--listen', this.#site.listen ?? '0.0.0.0:7447']);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      stderr += part;
    });
    const [first] = await Promise.race([once(child.stdout!, 'data'), once(child, 'close')]);
    if (!Buffer.isBuffer(first)) throw new Error(`the gateway ended: ${stderr}`);
    return first.toString().trim();
  }

  async #until(holds: () => Promise<boolean>): Promise<void> {
    const until = performance.now() + attemptMs;
    while (!(await holds())) {
      if (performance.now() > until) throw new Error(`waited ${attemptMs} ms in vain: ${holds}`);
      await pause(20);
    }
  }

  /** Stops B's daemon and starts it again; the time (of `performance.now`) at which it answers. */
  async restartB(): Promise<number> {
    await this.b.ok('down');
    const up = this.b.ok('up');
    up.catch(() => undefined);
    const client = this.#client(this.b);
    for (;;) {
      try {
        await client.ask('machine.list', {});
        break;
      } catch (error) {
        if (!(error instanceof NiiaError) || error.code !== 'daemon_not_running') throw error;
        await pause(2);
      }
    }
    const startedAt = performance.now();
    await up;
    return startedAt;
  }

  /** The time at which the first byte of a command on B reaches A; asked again while B counts as offline. */
  async firstByteAt(): Promise<number> {
    const client = this.#client(this.a, 'B');
    const until = performance.now() + attemptMs;
    for (;;) {
      try {
        const call = await client.call('machine.ask', { command: 'echo hi' });
        let at: number | undefined;
        call.source(streams.output).onData(async () => {
          at ??= performance.now();
        });
        call.source(streams.errors).onData(async () => undefined);
        await call.result;
        await call.source(streams.output).done;
        if (at === undefined) throw new Error('the command on B printed nothing');
        return at;
      } catch (error) {
        const isAway = error instanceof NiiaError && (error.code === 'offline' || error.code === 'link_lost');
        if (!isAway || performance.now() > until) throw error;
        await pause(10);
      }
    }
  }

  /** Watches the path from A to B until it is `wanted` or the time is over. Times are since `startedAt`. */
  async watchPath(wanted: string, startedAt: number, patienceMs: number): Promise<Sighting[]> {
    const client = this.#client(this.a);
    const seen: Sighting[] = [];
    while (performance.now() - startedAt < patienceMs) {
      const path = await this.#path(client, 'B');
      if (path !== seen.at(-1)?.path) seen.push({ path, atMs: performance.now() - startedAt });
      if (path === wanted) break;
      await pause(20);
    }
    return seen;
  }

  /** The path from A to B now; null: none. */
  async path(): Promise<string | null> {
    return await this.#path(this.#client(this.a), 'B');
  }

  /** What both machines say of their paths to each other, for the message of a test that fails. */
  async explain(): Promise<string> {
    const statuses = await Promise.all(
      [this.a, this.b].map((machine) => this.#client(machine).ask('daemon.status', {})),
    );
    return JSON.stringify(statuses.map(({ links }) => links));
  }

  async #path(client: DaemonClient, to: string): Promise<string | null> {
    const { machines } = await client.ask('machine.list', {});
    return machines.find(({ name }) => name === to)?.path ?? null;
  }

  /** Runs a command on B from A; `during` happens as soon as it has printed something. */
  async stream(command: string, during: () => Promise<void>): Promise<Stream> {
    const client = this.#client(this.a, 'B');
    const call = await client.call('machine.ask', { command });
    let text = '';
    let longestGapMs = 0;
    let last: number | undefined;
    let event: Promise<void> | undefined;
    let happenedAt: number | undefined;
    let resumedMs: number | null = null;
    call.source(streams.errors).onData(async () => undefined);
    call.source(streams.output).onData(async (bytes) => {
      const now = performance.now();
      if (last !== undefined) longestGapMs = Math.max(longestGapMs, now - last);
      last = now;
      if (happenedAt !== undefined) resumedMs ??= now - happenedAt;
      text += Buffer.from(bytes).toString();
      event ??= during().then(() => {
        happenedAt = performance.now();
      });
    });
    await call.result;
    await call.source(streams.output).done;
    await event;
    return { text, longestGapMs, resumedMs };
  }

  #client(machine: TestMachine, to?: string): DaemonClient {
    const client = new DaemonClient(new Home(machine.home), to, new Deadline(undefined));
    this.#clients.push(client);
    return client;
  }
}
