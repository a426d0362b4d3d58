import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { Lab } from '../netlab/lab.ts';
import { fullTier, inTier } from '../support/tier.ts';
import { Scene, type Site } from './paths-matrix/scene.ts';
import { type Row, writeMatrix } from './paths-matrix/table.ts';

interface Scenario {
  name: string;
  /** It stands for a mechanism of its own; the others are variations of those, and of the long tier alone. */
  inShortTier?: true;
  build: (lab: Lab) => Promise<Site>;
  /** The path that the link must have come to. */
  path: 'direct' | 'p2p' | 'gateway';
  /** Another that will do: where both lose packets, which one is clearly quicker is a matter of luck. */
  orPath?: 'gateway';
  /** Of the probe that goes both ways; `probeBytes` unless said. */
  bytes?: number;
  /** Where it is not the usual bound; ms. */
  firstByteWithinMs?: number;
  /** What happens to the network once both are in one team. */
  formed?: (site: Site) => Promise<void>;
  /** What else must hold; returns what the table says of it. */
  also?: (scene: Scene, site: Site) => Promise<string>;
}

const probeBytes = inTier(500_000, 2_000_000);
/** A path must have been reached by then. */
const pathWithinMs = 10_000;
/** For so long a link that is to stay on the gateway is watched for something better, which would be news. */
const nothingBetterMs = 6_000;
/** Three times what a first byte may take where nothing stands in its way. */
const firstByteMs = 3_000;
/** A silent path is to be left within two seconds; the rest is for a busy computer. */
const silentMs = 3_000;
/** A link is to go on within two seconds of the network's return; the rest as above. */
const backMs = 3_000;

const natted = (kindA: 'full-cone' | 'port-restricted' | 'symmetric', kindB: typeof kindA) => async (lab: Lab) => ({
  gateway: await lab.host('gateway'),
  a: await lab.host('a', { behind: await lab.router(kindA) }),
  b: await lab.host('b', { behind: await lab.router(kindB) }),
});

const scenarios: Scenario[] = [
  {
    name: 'no NAT',
    path: 'p2p',
    build: async (lab) => ({
      gateway: await lab.host('gateway'),
      a: await lab.host('a'),
      b: await lab.host('b'),
    }),
  },
  {
    name: 'no NAT, one listens',
    path: 'direct',
    build: async (lab) => ({
      gateway: await lab.host('gateway'),
      a: await lab.host('a'),
      b: await lab.host('b'),
      upB: ['--listen', '0.0.0.0:7447'],
    }),
  },
  { name: 'full cone × full cone', path: 'p2p', build: natted('full-cone', 'full-cone') },
  {
    name: 'full cone × symmetric',
    inShortTier: true,
    path: 'p2p',
    build: natted('full-cone', 'symmetric'),
    also: async (scene, { a }) => {
      const { text, resumedMs } = await scene.stream(counting(800), async () => {
        await a.unplug();
        await pause(4_000);
        await a.plug();
      });
      expect(text).toBe(counted(800));
      expect(resumedMs).toBeLessThan(backMs);
      return `A unplugged for 4 s: bytes go on ${Math.round(resumedMs ?? 0)} ms after its return`;
    },
  },
  {
    name: 'port-restricted × port-restricted',
    path: 'p2p',
    build: natted('port-restricted', 'port-restricted'),
    also: async (scene, { b }) => {
      const { text, longestGapMs } = await scene.stream(counting(500), () => b.blockUdp());
      expect(text).toBe(counted(500));
      expect(longestGapMs).toBeLessThan(silentMs);
      expect(await scene.path()).toBe('gateway');
      return `UDP cut in mid-stream: gateway after ${Math.round(longestGapMs)} ms`;
    },
  },
  { name: 'symmetric × symmetric', path: 'gateway', build: natted('symmetric', 'symmetric'), also: outlivesSilence() },
  {
    name: 'both behind one NAT',
    path: 'p2p',
    build: async (lab) => {
      const router = await lab.router('symmetric');
      return {
        gateway: await lab.host('gateway'),
        a: await lab.host('a', { behind: router }),
        b: await lab.host('b', { behind: router }),
      };
    },
  },
  {
    name: 'UDP blocked on one side',
    inShortTier: true,
    path: 'gateway',
    build: async (lab) => {
      const a = await lab.host('a', { behind: await lab.router('port-restricted') });
      await a.blockUdp();
      return { gateway: await lab.host('gateway'), a, b: await lab.host('b') };
    },
  },
  {
    name: 'only 443 through a proxy on one side',
    inShortTier: true,
    path: 'gateway',
    build: async (lab) => {
      const router = await lab.router('proxy');
      return {
        gateway: await lab.host('gateway'),
        listen: '0.0.0.0:443',
        a: await lab.host('a', { behind: router }),
        envA: { HTTPS_PROXY: router.proxy },
        b: await lab.host('b'),
      };
    },
  },
  {
    name: 'IPv6 only',
    path: 'p2p',
    build: async (lab) => ({
      gateway: await lab.host('gateway', { families: ['ipv6'] }),
      listen: '[::]:7447',
      a: await lab.host('a', { families: ['ipv6'] }),
      b: await lab.host('b', { families: ['ipv6'] }),
    }),
  },
  {
    name: 'the gateway cut off, one listens',
    path: 'direct',
    build: async (lab) => ({
      gateway: await lab.host('gateway'),
      a: await lab.host('a'),
      b: await lab.host('b'),
      upB: ['--listen', '0.0.0.0:7447'],
    }),
    also: inTurn(carriesOnWithoutGateway('direct'), outlivesSilence()),
  },
  {
    name: 'the gateway cut off, both in one LAN',
    inShortTier: true,
    path: 'p2p',
    build: async (lab) => {
      const router = await lab.router('port-restricted');
      return {
        gateway: await lab.host('gateway'),
        a: await lab.host('a', { behind: router }),
        b: await lab.host('b', { behind: router }),
      };
    },
    also: carriesOnWithoutGateway('p2p'),
  },
  {
    name: 'the gateway cut off, a neighbour that both know',
    path: 'p2p',
    build: async (lab) => ({
      gateway: await lab.host('gateway'),
      a: await lab.host('a'),
      b: await lab.host('b', { behind: await lab.router('port-restricted') }),
      neighbour: await lab.host('c'),
    }),
    also: carriesOnWithoutGateway('p2p'),
  },
  {
    name: 'no gateway ever, both in one LAN',
    path: 'p2p',
    build: async (lab) => {
      const router = await lab.router('port-restricted');
      return { a: await lab.host('a', { behind: router }), b: await lab.host('b', { behind: router }) };
    },
    also: outlivesSilence(),
  },
  {
    name: 'one direction black-holed in mid-stream',
    inShortTier: true,
    path: 'p2p',
    build: natted('full-cone', 'full-cone'),
    also: async (scene, { a, b }) => {
      const { text, longestGapMs } = await scene.stream(counting(600), () => a.dropFrom(b));
      expect(text).toBe(counted(600));
      expect(longestGapMs).toBeLessThan(silentMs);
      expect(await scene.path()).toBe('gateway');
      return `black hole: gateway after ${Math.round(longestGapMs)} ms`;
    },
  },
  {
    name: 'MTU 1280',
    path: 'p2p',
    build: async (lab) => ({
      gateway: await lab.host('gateway'),
      a: await lab.host('a', { mtu: 1280 }),
      b: await lab.host('b', { behind: await lab.router('full-cone', { mtu: 1280 }) }),
    }),
  },
  {
    name: 'loss 5 %, delay 100 ms',
    path: 'p2p',
    bytes: 100_000,
    firstByteWithinMs: 15_000,
    orPath: 'gateway',
    build: async (lab) => ({
      gateway: await lab.host('gateway'),
      a: await lab.host('a', { shape: {} }),
      b: await lab.host('b'),
    }),
    formed: async ({ a }) => a.shape({ delayMs: 100, lossPercent: 5 }),
  },
];

const rows = new Map<string, Row>();
afterAll(() => {
  const found = scenarios.map(({ name }) => rows.get(name)).filter((row) => row !== undefined);
  // The documentation has the table of a whole run.
  writeMatrix(found, fullTier ? 'test/artifacts/paths-matrix.md' : undefined);
});

describe('two machines find each other', () => {
  // Most of a scenario is waiting for the network.
  const takeTurn = turns(3);
  const finds = async (scenario: Scenario): Promise<void> => {
    await takeTurn(async () => {
      const lab = await Lab.open();
      let site: Site;
      try {
        site = await scenario.build(lab);
      } catch (error) {
        await lab.close();
        throw error;
      }
      await Scene.with(lab, site, async (scene) => await judge(scenario, scene, site));
    });
  };
  const timeout = 600_000;
  const isShort = ({ inShortTier }: Scenario): boolean => inShortTier === true;
  it.concurrent.each(scenarios.filter(isShort))('$name', { timeout }, finds);
  it.concurrent.each(scenarios.filter((one) => !isShort(one)))('$name', { timeout, tags: 'full' }, finds);
});

async function judge(scenario: Scenario, scene: Scene, site: Site): Promise<void> {
  await scenario.formed?.(site);
  await scene.firstByteAt();
  const startedAt = await scene.restartB();
  const [firstByteAt, sightings] = await Promise.all([
    scene.firstByteAt(),
    scenario.path === 'gateway'
      ? scene.watchPath('p2p', startedAt, nothingBetterMs)
      : scene.watchPath(scenario.path, startedAt, pathWithinMs),
  ]);
  const last = sightings.at(-1);
  const why = last?.path === scenario.path ? '' : `${JSON.stringify(sightings)} ${await scene.explain()}`;
  const row: Row = {
    scenario: scenario.name,
    firstByteMs: firstByteAt - startedAt,
    path: last?.path ?? null,
    pathMs: last?.path ? last.atMs : null,
    bytes: 0,
    bytesPerSecond: 0,
    note: '',
  };
  rows.set(scenario.name, row);
  Object.assign(row, await exactBytes(scene, scenario.bytes ?? probeBytes));
  expect([scenario.path, scenario.orPath], why).toContain(row.path);
  expect(row.firstByteMs).toBeLessThan(scenario.firstByteWithinMs ?? firstByteMs);
  if (scenario.also && row.path === scenario.path) row.note = await scenario.also(scene, site);
}

/** Sends random bytes to B and back, and reads as many from a session's log. */
async function exactBytes(scene: Scene, bytes: number): Promise<{ bytes: number; bytesPerSecond: number }> {
  const there = randomBytes(bytes);
  const startedAt = performance.now();
  const { stdout, stderr } = await scene.a.run(['remote', 'ask', 'B', 'cat', '--stdin'], { input: there });
  const ms = performance.now() - startedAt;
  expect(stderr).toBe('');
  expect(stdout.equals(there)).toBe(true);
  const file = join(scene.b.home, 'bytes');
  writeFileSync(file, there);
  const id = await scene.a.ok('remote', 'new', 'B', '--', 'sh', '-c', `stty raw -echo; cat ${file}`);
  const read = await scene.a.run(['remote', 'read', 'B', '--session', id, '--raw', '--since', '0', '--follow']);
  expect(read.stdout.equals(there), `${read.stdout.length} of ${bytes} bytes`).toBe(true);
  return { bytes: 2 * bytes, bytesPerSecond: (2 * bytes * 1000) / ms };
}

type Also = NonNullable<Scenario['also']>;

function inTurn(...all: Also[]): Also {
  return async (scene, site) => {
    const notes: string[] = [];
    for (const also of all) notes.push(await also(scene, site));
    return notes.join('; ');
  };
}

/** Nothing of A's arrives for a while, in mid-stream, and nobody is told; then everything is as before. */
function outlivesSilence(ms = 10_000): Also {
  return async (scene, { a }) => {
    const lines = ms / 10 + 300;
    const { text, resumedMs } = await scene.stream(counting(lines), async () => {
      await a.cut();
      await pause(ms);
      await a.mend();
    });
    expect(text).toBe(counted(lines));
    expect(resumedMs).toBeLessThan(backMs);
    return `A cut off for ${ms / 1_000} s: bytes go on ${Math.round(resumedMs ?? 0)} ms after its return`;
  };
}

/** The gateway vanishes while something streams; then B starts anew and must find A without it. */
function carriesOnWithoutGateway(path: string) {
  return async (scene: Scene, { gateway }: Site): Promise<string> => {
    const { text, longestGapMs } = await scene.stream(counting(400), async () => await gateway?.cut());
    expect(text).toBe(counted(400));
    expect(longestGapMs).toBeLessThan(silentMs);
    const startedAt = await scene.restartB();
    const [firstByteAt, sightings] = await Promise.all([
      scene.firstByteAt(),
      scene.watchPath(path, startedAt, pathWithinMs),
    ]);
    expect(sightings.at(-1)?.path, JSON.stringify(sightings)).toBe(path);
    return `stream's longest gap ${Math.round(longestGapMs)} ms; B restarted: first byte ${Math.round(firstByteAt - startedAt)} ms, ${path} ${Math.round(sightings.at(-1)?.atMs ?? 0)} ms`;
  };
}

/** A command that prints the numbers up to `count`, one every hundredth of a second or so. */
function counting(count: number): string {
  return `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo $i; sleep 0.01; done`;
}

function counted(count: number): string {
  return Array.from({ length: count }, (_, i) => `${i + 1}\n`).join('');
}

/** Lets `count` bodies run at once. */
function turns(count: number): (body: () => Promise<void>) => Promise<void> {
  let free = count;
  const waiting: Array<() => void> = [];
  return async (body) => {
    if (free === 0) await new Promise<void>((go) => waiting.push(go));
    else free -= 1;
    try {
      await body();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
