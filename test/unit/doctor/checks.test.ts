import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check, Finding, Patient } from '../../../daemon/doctor/check.ts';
import { judgeClock } from '../../../daemon/doctor/checks/clock.ts';
import { checkDisk, judgeDisk } from '../../../daemon/doctor/checks/disk.ts';
import { judgeGateway, judgeLinks, judgeProxy } from '../../../daemon/doctor/checks/gateway.ts';
import { judgeHeadless } from '../../../daemon/doctor/checks/headless.ts';
import { checkHome, checkPermissions, judgeHome, judgePermissions } from '../../../daemon/doctor/checks/home.ts';
import { judgeLan } from '../../../daemon/doctor/checks/lan.ts';
import { judgeNative, tryNative } from '../../../daemon/doctor/checks/native.ts';
import { checkShell, judgeNode, judgeShell } from '../../../daemon/doctor/checks/programs.ts';
import { judgeService } from '../../../daemon/doctor/checks/service.ts';
import { checkSettings } from '../../../daemon/doctor/checks/settings.ts';
import { checkSocket, judgeSocket } from '../../../daemon/doctor/checks/socket.ts';
import { judgeStun, judgeUdp } from '../../../daemon/doctor/checks/udp.ts';
import { judgeVersions } from '../../../daemon/doctor/checks/versions.ts';
import { daemonFacts } from '../../../daemon/doctor/daemon-facts.ts';
import { bounded } from '../../../daemon/doctor/doctor.ts';
import { askGateway } from '../../../daemon/doctor/gateway-facts.ts';
import { bindingRequest, mappedAddress } from '../../../daemon/doctor/stun-message.ts';
import { askStun } from '../../../daemon/doctor/stun-probe.ts';
import { answerStun } from '../../../daemon/gateway/stun.ts';
import { Home } from '../../../daemon/home/home.ts';
import { NiiaError } from '../../../shared/errors.ts';

let scratch: string;
let home: Home;
const closing: Array<() => void> = [];

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'niia-doctor-'));
  home = new Home(join(scratch, 'home'));
});
afterEach(() => {
  for (const close of closing.splice(0)) close();
  rmSync(scratch, { recursive: true, force: true });
});

function patient(over: Partial<Patient> = {}): Patient {
  const gateway = {
    url: undefined,
    embedded: true,
    state: undefined,
    direct: undefined,
    proxy: undefined,
    proxied: undefined,
  };
  return {
    home,
    env: process.env,
    entry: join(scratch, 'niia.js'),
    daemon: () => daemonFacts(home),
    gateway: () => Promise.resolve(gateway),
    signal: AbortSignal.timeout(20_000),
    ...over,
  };
}

const see = async (check: Check, over: Partial<Patient> = {}): Promise<Finding> => await check(patient(over));

describe('what is judged of facts', () => {
  const file = { path: '/h/identity.json', mode: 0o600, uid: 1000 };
  const usable = { path: '/h', mode: 0o700, uid: 1000, isFolder: true, usable: true };
  const status = { version: '2.0.0', headless: [] };
  const up = { status: 200, error: null, aheadMs: 0 };
  const dead = { status: null, error: 'nothing listens there', aheadMs: null };
  const gateway = {
    url: 'wss://g:1',
    embedded: false,
    state: { state: 'connected', error: null },
    direct: up,
    proxy: undefined,
    proxied: undefined,
  };
  const clock = { now: Date.UTC(2027, 0, 1), aheadMs: 0, jumpedMs: 0, sleptMs: 0 };
  const disk = { root: '/h', freeBytes: 8 * 2 ** 30, freeInodes: 1e6, writeError: null };
  const server = { generation: 'g', pid: 7, alive: true, sessions: 2, error: undefined, rssBytes: 1 << 26 };
  const mismatch = new NiiaError('version_mismatch', 'it speaks protocol 9 to 9, this side 1 to 1');
  const socket = {
    path: '/h/d.sock',
    file: { isSocket: true, mode: 0o600, uid: 1000 },
    uid: 1000,
    pid: 9,
    answers: true,
    error: undefined,
  };
  const shell = { shell: '/bin/sh', runnable: true, code: 0, tookMs: 5, path: '/bin' };
  const lan = { address: '10.0.0.1', heard: true, error: null };
  const service = {
    service: { name: 'niia.service', kind: 'systemd' as const },
    state: { enabled: true, running: true, pid: 9, linger: true, detail: 'active, running' },
    current: true,
    missing: [],
    daemonPid: 9,
  };
  it.each<[string, Finding, Finding['status'], RegExp?]>([
    ['a home', judgeHome({ root: '/h', uid: 1000, home: usable }), 'pass'],
    ['a home that is not there', judgeHome({ root: '/h', uid: 1000, home: undefined }), 'warn', /niia up/],
    [
      'a home open to others',
      judgeHome({ root: '/h x', uid: 1000, home: { ...usable, mode: 0o755 } }),
      'fail',
      /chmod 700 '\/h x'/,
    ],
    ['another user’s home', judgeHome({ root: '/h', uid: 1, home: usable }), 'fail', /chown/],
    [
      'a file for a home',
      judgeHome({ root: '/h', uid: 1000, home: { ...usable, isFolder: false } }),
      'fail',
      /NIIA_HOME/,
    ],
    [
      'a home without rights',
      judgeHome({ root: '/h', uid: 1000, home: { ...usable, usable: false } }),
      'fail',
      /chmod/,
    ],
    ['private files', judgePermissions(1000, [file]), 'pass'],
    [
      'a key that others read',
      judgePermissions(1000, [{ ...file, mode: 0o644 }]),
      'fail',
      /chmod go= \/h\/identity.json/,
    ],
    ['a file of root', judgePermissions(1000, [{ ...file, uid: 0 }]), 'fail', /sudo chown 1000/],
    ['a daemon that answers', judgeSocket(socket), 'pass'],
    ['a socket for all', judgeSocket({ ...socket, file: { ...socket.file, mode: 0o666 } }), 'fail', /chmod 600/],
    ['no daemon', judgeSocket({ ...socket, file: undefined, pid: undefined, answers: false }), 'warn', /niia up/],
    ['a stale socket', judgeSocket({ ...socket, pid: undefined, answers: false }), 'warn', /niia up/],
    ['a daemon that hangs', judgeSocket({ ...socket, answers: false }), 'fail', /kill 9/],
    [
      'a file for a socket',
      judgeSocket({ ...socket, file: { ...socket.file, isSocket: false }, pid: undefined, answers: false }),
      'fail',
      /rm/,
    ],
    [
      'another protocol',
      judgeSocket({ ...socket, answers: false, error: new NiiaError('version_mismatch', 'x', 'Upgrade.') }),
      'fail',
      /Upgrade/,
    ],
    ['one version', judgeVersions({ cli: '2.0.0', status }), 'pass'],
    ['two versions', judgeVersions({ cli: '2.1.0', status }), 'warn', /niia down/],
    ['no daemon to compare with', judgeVersions({ cli: '2.1.0', status: undefined }), 'skip'],
    ['a headless server', judgeHeadless([server]), 'pass'],
    ['one that hangs', judgeHeadless([server, { ...server, sessions: undefined }]), 'fail', /kill -CONT 7/],
    [
      'one of another protocol version',
      judgeHeadless([{ ...server, sessions: undefined, error: mismatch }]),
      'fail',
      /--allow-downgrade .*kill 7/,
    ],
    ['one that was killed', judgeHeadless([{ ...server, alive: false, sessions: undefined }]), 'warn', /niia start/],
    ['natives', judgeNative([{ name: 'node-pty', works: true, why: '' }]), 'pass'],
    ['no WebRTC', judgeNative([{ name: 'wrtc', works: false, why: 'x' }]), 'warn', /npm rebuild/],
    ['no PTY', judgeNative([{ name: 'node-pty', works: false, why: 'x' }]), 'fail', /npm rebuild/],
    ['a right clock', judgeClock(clock), 'pass'],
    ['a clock 10 s late', judgeClock({ ...clock, aheadMs: 10_000 }), 'warn', /timedatectl/],
    ['a clock an hour early', judgeClock({ ...clock, aheadMs: -3_600_000 }), 'fail', /timedatectl/],
    ['a clock of 1970', judgeClock({ ...clock, now: 5_000 }), 'fail', /timedatectl/],
    ['a clock that was set', judgeClock({ ...clock, jumpedMs: -60_000 }), 'warn', /timedatectl/],
    ['a clock nobody knows better', judgeClock({ ...clock, aheadMs: null }), 'skip'],
    ['a gateway', judgeGateway(gateway), 'pass'],
    ['a dead gateway', judgeGateway({ ...gateway, direct: dead }), 'fail', /niia gateway/],
    [
      'another certificate',
      judgeGateway({ ...gateway, direct: { ...dead, error: 'another certificate' } }),
      'fail',
      /niia up --gateway/,
    ],
    ['a draining gateway', judgeGateway({ ...gateway, direct: { ...up, status: 503 } }), 'fail'],
    [
      'a daemon that is refused',
      judgeGateway({ ...gateway, state: { state: 'refused', error: 'no' } }),
      'fail',
      /niia status/,
    ],
    ['a proxy that is needed', judgeGateway({ ...gateway, direct: dead, proxy: 'http://p', proxied: up }), 'pass'],
    ['no proxy', judgeProxy(gateway), 'skip'],
    ['a proxy', judgeProxy({ ...gateway, proxy: 'http://p', proxied: up }), 'pass'],
    ['a dead proxy', judgeProxy({ ...gateway, proxy: 'http://p', proxied: dead }), 'fail', /NO_PROXY/],
    ['links', judgeLinks([{ machine: 'b', state: 'up' }]), 'pass'],
    ['a link that is down', judgeLinks([{ machine: 'b', state: 'waiting' }]), 'warn', /niia remote path b/],
    ['UDP', judgeUdp({ wanted: true, trials: [{ address: '10.0.0.1', error: null }] }), 'pass'],
    ['no UDP', judgeUdp({ wanted: true, trials: [{ address: '10.0.0.1', error: 'EPERM' }] }), 'fail', /firewall/],
    [
      'UDP on one network',
      judgeUdp({
        wanted: true,
        trials: [
          { address: 'a', error: null },
          { address: 'b', error: 'x' },
        ],
      }),
      'warn',
      /firewall/,
    ],
    ['UDP that nobody wants', judgeUdp({ wanted: false, trials: [] }), 'skip'],
    [
      'STUN',
      judgeStun({ wanted: true, server: 'g:1', outcome: { outside: '1.2.3.4:5', local: '10.0.0.1:5' } }),
      'pass',
    ],
    ['no STUN', judgeStun({ wanted: true, server: 'g:1', outcome: { error: 'no answer' } }), 'warn', /pass UDP to g:1/],
    ['multicast', judgeLan({ wanted: true, networks: [lan] }), 'pass'],
    ['no multicast', judgeLan({ wanted: true, networks: [{ ...lan, heard: false }] }), 'warn', /5353/],
    ['no network', judgeLan({ wanted: true, networks: [] }), 'warn'],
    ['room', judgeDisk(disk), 'pass'],
    ['little room', judgeDisk({ ...disk, freeBytes: 500 << 20 }), 'warn', /Make room/],
    ['hardly any room', judgeDisk({ ...disk, freeBytes: 1 << 20 }), 'fail', /Make room/],
    ['no inodes', judgeDisk({ ...disk, freeInodes: 3 }), 'fail', /Make room/],
    ['a disk that refuses', judgeDisk({ ...disk, writeError: 'ENOSPC' }), 'fail', /Make room/],
    ['Node 20', judgeNode('v20.1.0'), 'pass'],
    ['Node 18', judgeNode('v18.20.0'), 'fail', /later Node/],
    ['a shell', judgeShell(shell), 'pass'],
    ['a shell that is gone', judgeShell({ ...shell, runnable: false }), 'fail', /SHELL/],
    ['a shell that hangs', judgeShell({ ...shell, code: null }), 'fail'],
    ['a shell that refuses', judgeShell({ ...shell, code: 1 }), 'fail'],
    ['a slow shell', judgeShell({ ...shell, tookMs: 3_000 }), 'warn'],
    ['an empty PATH', judgeShell({ ...shell, path: '' }), 'warn'],
    ['a service', judgeService(service), 'pass'],
    ['no service', judgeService({ ...service, service: undefined }), 'skip', /niia service install/],
    ['a service whose Node is gone', judgeService({ ...service, missing: ['/n'] }), 'fail', /niia service install/],
    [
      'a service that fails',
      judgeService({ ...service, state: { ...service.state, detail: 'failed, failed' } }),
      'fail',
      /journalctl/,
    ],
    ['a daemon beside its service', judgeService({ ...service, daemonPid: 4 }), 'warn', /niia service install/],
    [
      'a service that ends at logout',
      judgeService({ ...service, state: { ...service.state, linger: false } }),
      'warn',
      /--linger/,
    ],
    ['an old service file', judgeService({ ...service, current: false }), 'warn', /niia service install/],
    [
      'a service that is off',
      judgeService({ ...service, state: { ...service.state, enabled: false } }),
      'warn',
      /install/,
    ],
  ])('%s', (_, finding, expected, mend) => {
    expect(finding).toMatchObject({ status: expected, ...(mend ? { mend: expect.stringMatching(mend) } : {}) });
    expect(finding.found).not.toBe('');
  });
});

describe('what is found on this computer', () => {
  it('a home and a key with wrong modes', async () => {
    expect(await see(checkHome)).toMatchObject({ status: 'warn' });
    home.prepare();
    writeFileSync(home.path('identity.json'), '{}', { mode: 0o600 });
    expect([await see(checkHome), await see(checkPermissions)]).toMatchObject([{ status: 'pass' }, { status: 'pass' }]);
    chmodSync(home.root, 0o750);
    chmodSync(home.path('identity.json'), 0o604);
    expect([await see(checkHome), await see(checkPermissions)]).toMatchObject([{ status: 'fail' }, { status: 'fail' }]);
  });

  it('damaged settings and keys, named by their files', async () => {
    expect(await see(checkSettings)).toMatchObject({ status: 'skip' });
    home.prepare();
    writeFileSync(home.path('identity.json'), '{"version": 1}');
    expect(await see(checkSettings)).toMatchObject({ status: 'fail', found: expect.stringContaining('identity.json') });
  });

  it('a socket that nobody listens on, and one behind which nobody answers', async () => {
    home.prepare();
    expect(await see(checkSocket)).toMatchObject({ status: 'warn', found: 'no daemon runs' });
    const silent = createServer(() => undefined).listen(home.socket('daemon'));
    await once(silent, 'listening');
    closing.push(() => silent.close());
    writeFileSync(home.path('daemon.lock'), JSON.stringify({ pid: process.pid, started: '' }));
    const hangs = await see(checkSocket);
    expect(hangs).toMatchObject({ status: 'fail', mend: expect.stringContaining(`kill ${process.pid}`) });
  });

  it('natives that are missing, that crash their process, and that give wrong results', async () => {
    const entry = join(scratch, 'niia.js');
    const missing = await tryNative('node-pty', entry, AbortSignal.timeout(20_000));
    expect(missing).toMatchObject({ works: false, why: expect.stringMatching(/Cannot find module/) });
    const folder = join(scratch, 'node_modules', 'wrtc');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'index.js'), 'process.abort()');
    const crashed = await tryNative('wrtc', entry, AbortSignal.timeout(20_000));
    expect(crashed).toMatchObject({ works: false, why: expect.stringContaining('SIGABRT') });
    const sodium = join(scratch, 'node_modules', 'sodium-native');
    mkdirSync(sodium);
    writeFileSync(join(sodium, 'index.js'), 'exports.crypto_generichash = () => undefined');
    const wrong = await tryNative('sodium-native', entry, AbortSignal.timeout(20_000));
    expect(wrong).toMatchObject({ works: false, why: 'it gave a wrong result' });
  });

  it('the natives of this installation, which work', async () => {
    for (const name of ['node-pty', 'sodium-native', 'wrtc']) {
      expect(await tryNative(name, join(process.cwd(), 'x.js'), AbortSignal.timeout(20_000))).toMatchObject({
        works: true,
      });
    }
  });

  it('a disk that is not there to write to', async () => {
    expect(await see(checkDisk)).toMatchObject({ status: 'skip' });
    home.prepare();
    expect((await see(checkDisk)).status).not.toBe('skip');
    expect(() => statSync(home.path('.doctor'))).toThrow(/ENOENT/);
  });

  it('a shell that is missing and one that always fails', async () => {
    expect(await see(checkShell, { env: { SHELL: '/no/such', PATH: '/bin' } })).toMatchObject({ status: 'fail' });
    expect(await see(checkShell, { env: { SHELL: '/bin/false', PATH: '/bin' } })).toMatchObject({ status: 'fail' });
  });

  it('a gateway that is dead, refuses, or has another time of day', async () => {
    const late = createHttpServer((request, response) => {
      response.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString());
      response.writeHead(request.url === '/healthz' ? 200 : 404).end();
    }).listen(0, '127.0.0.1');
    await once(late, 'listening');
    closing.push(() => late.close());
    const { port } = late.address() as AddressInfo;
    const answer = await askGateway({ url: `ws://127.0.0.1:${port}`, fingerprint: null, embedded: false });
    expect(answer.status).toBe(200);
    expect(Math.abs(answer.aheadMs! - 3_600_000)).toBeLessThan(5_000);
    expect(judgeClock({ now: Date.now(), aheadMs: answer.aheadMs, jumpedMs: 0, sleptMs: 0 }).status).toBe('fail');
    late.close();
    late.closeAllConnections();
    await once(late, 'close');
    const gone = await askGateway({ url: `ws://127.0.0.1:${port}`, fingerprint: null, embedded: false });
    expect(gone).toMatchObject({ status: null, error: 'nothing listens there' });
  });

  it('STUN: our address by the product’s own server, silence, and nobody there', async () => {
    const server = createSocket('udp4');
    let answering = true;
    server.on('message', (request, from) => {
      const answer = answerStun(request, from.address, from.port);
      if (answer && answering) server.send(answer, from.port, from.address);
    });
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    const told = await askStun('127.0.0.1', port);
    expect(told).toMatchObject({ outside: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
    expect('outside' in told && told.outside === told.local).toBe(true);
    answering = false;
    expect(await askStun('127.0.0.1', port)).toEqual({ error: 'no answer within 2.5 s' });
    server.close();
    expect(await askStun('127.0.0.1', port)).toMatchObject({ error: expect.stringMatching(/ECONNREFUSED/) });
  });

  it('STUN: an IPv6 address, and answers to somebody else are none', () => {
    const transaction = Buffer.alloc(12, 7);
    const answer = answerStun(bindingRequest(transaction), '2001:db8::1', 9)!;
    expect(mappedAddress(answer, transaction)).toBe('[2001:db8:0:0:0:0:0:1]:9');
    expect(mappedAddress(answer, Buffer.alloc(12, 8))).toBeUndefined();
    for (let length = 0; length < answer.length; length++) {
      expect(mappedAddress(answer.subarray(0, length), transaction)).toBeUndefined();
    }
  });

  it('a check that hangs, and one that throws, as failed', async () => {
    const hangs = await bounded(() => new Promise(() => undefined), patient(), 30);
    expect(hangs).toMatchObject({ status: 'fail', found: 'no result within 0.03 s' });
    const throws = await bounded(() => Promise.reject(new NiiaError('io', 'broken', 'Mend it.')), patient(), 1_000);
    expect(throws).toEqual({ status: 'fail', found: 'this could not be checked: broken', mend: 'Mend it.' });
  });
});
