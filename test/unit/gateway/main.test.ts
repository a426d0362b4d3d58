import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ownCertificate } from '../../../daemon/gateway/certificate.ts';
import { parseGatewayUrl } from '../../../daemon/mesh/gateway-url.ts';
import { connectWebSocket } from '../../../daemon/mesh/websocket.ts';
import { gatewayClose } from '../../../shared/protocol/gateway.ts';
import { newTeam, Probe, scratch } from './machines.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'niia-gateway-bundle-'));
const script = join(folder, 'gateway.js');

beforeAll(async () => {
  await build({
    stdin: {
      contents: `import { runGateway } from './daemon/gateway/main.ts';
        runGateway(JSON.parse(process.argv[2])).catch((error) => { console.error(JSON.stringify({ error })); process.exitCode = 1; });`,
      resolveDir: root,
    },
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Running {
  child: ChildProcess;
  lines: string[];
  url: string;
  exit: Promise<number | null>;
  stderr: () => string;
}

async function run(options: Record<string, unknown>): Promise<Running> {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines: string[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const exit = once(child, 'close').then(([code]) => code as number | null);
  const reader = createInterface(child.stdout);
  reader.on('line', (line) => lines.push(line));
  await Promise.race([once(reader, 'line'), exit]);
  return { child, lines, url: lines[0] ?? '', exit, stderr: () => stderr };
}

async function dial(url: string): Promise<Probe> {
  const { urls, fingerprint } = parseGatewayUrl(url);
  return new Probe((await connectWebSocket(urls[0]!, { fingerprint })).transport);
}

describe('niia gateway', () => {
  it('tells machines of its STUN port and of the TURN servers that it was given', async () => {
    const turn = { urls: ['turn:turn.example.org'], secret: 'north' };
    const gateway = await run({ listen: '127.0.0.1:0', state: scratch(), turn });
    const { roster, machines } = newTeam(['a']);
    const machine = await dial(gateway.url);
    await machine.hello(machines[0]!, roster, { admit: parseGatewayUrl(gateway.url).admit! });
    await machine.next('roster-wanted');
    machine.sendRoster(roster);
    const { ice } = await machine.next('welcome');
    expect(ice?.stunPort).toBe(Number(new URL(gateway.url).port));
    expect(ice?.servers).toEqual([
      { urls: turn.urls, username: expect.stringMatching(/^\d+:niia$/), credential: expect.any(String) },
    ]);
    expect(gateway.stderr()).not.toContain('north');
  });

  it('prints its URL, lets a first machine in by it, drains on SIGTERM and exits with 0; the next start is the same gateway', async () => {
    const state = scratch();
    const first = await run({ listen: '127.0.0.1:0', state });
    expect(first.url).toMatch(/^wss:\/\/127\.0\.0\.1:\d+\/#[A-Za-z0-9_-]{64}$/);
    const { roster, machines } = newTeam(['a']);
    const machine = await dial(first.url);
    await machine.hello(machines[0]!, roster, { admit: parseGatewayUrl(first.url).admit! });
    await machine.next('roster-wanted');
    machine.sendRoster(roster);
    await machine.next('welcome');
    first.child.kill('SIGTERM');
    await machine.next('draining');
    expect(await machine.closedWith()).toMatchObject({ closeCode: gatewayClose.draining });
    expect(await first.exit).toBe(0);
    expect(first.lines).toEqual([first.url]);

    const listen = new URL(first.url).host;
    const second = await run({ listen, state });
    expect(second.url).toBe(first.url);
    const again = await dial(second.url);
    await again.hello(machines[0]!, roster);
    await again.next('welcome');

    const third = await run({ listen, state });
    expect(await third.exit).toBe(1);
    expect(third.stderr()).toContain('"code":"port_taken"');
    expect(third.lines).toEqual([]);
    second.child.kill('SIGINT');
    expect(await second.exit).toBe(0);
  });

  it('a frozen machine is absent within 10 s, by real sockets', { tags: 'full' }, async () => {
    const state = scratch();
    const gateway = await run({ listen: '127.0.0.1:0', state });
    const { roster, machines } = newTeam(['a', 'b']);
    const a = await dial(gateway.url);
    await a.hello(machines[0]!, roster, { admit: parseGatewayUrl(gateway.url).admit! });
    await a.next('roster-wanted');
    a.sendRoster(roster);
    await a.next('welcome');
    const b = await dial(gateway.url);
    await b.hello(machines[1]!, roster);
    await b.next('welcome');
    b.answersPings = false;
    const frozenAt = performance.now();
    await a.next('absent');
    expect(performance.now() - frozenAt).toBeLessThan(10_000);
    gateway.child.kill('SIGTERM');
    expect(await gateway.exit).toBe(0);
  });

  it('goes without TLS, or with a certificate that it is given', async () => {
    const plain = await run({ listen: '127.0.0.1:0', state: scratch(), tls: 'off' });
    expect(plain.url).toMatch(/^ws:/);
    await (await dial(plain.url)).next('challenge');
    const dir = scratch();
    const { fingerprint } = await ownCertificate(dir);
    const file = join(dir, 'certificate.pem');
    const given = await run({ listen: '127.0.0.1:0', state: scratch(), tls: `${file},${file}` });
    expect(parseGatewayUrl(given.url).fingerprint).toBe(fingerprint);
    expect((await (await dial(given.url)).next('challenge')).gateway).toBe(fingerprint);
  });

  it.each([
    [{ listen: 'nowhere' }, 'usage'],
    [{ listen: '127.0.0.1:0', tls: 'maybe' }, 'usage'],
    [{ listen: '127.0.0.1:0', tls: '/nowhere/cert.pem,/nowhere/key.pem' }, 'usage'],
    [{ listen: '192.0.2.1:0' }, 'io'],
  ])('%j is refused with what is wrong', async (options, code) => {
    const gateway = await run({ state: scratch(), ...options });
    expect(await gateway.exit).toBe(1);
    expect(gateway.stderr()).toContain(`"code":"${code}"`);
    expect(gateway.stderr()).toContain('"hint"');
  });
});
