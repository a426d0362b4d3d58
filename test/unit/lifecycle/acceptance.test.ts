import { describe, expect, test } from 'vitest';
import { fitsMachine, isWhatWasOffered, mayInstall } from '../../../daemon/lifecycle/acceptance.ts';
import { baselineOf, whatIsMissing } from '../../../daemon/lifecycle/health.ts';
import type { Manifest } from '../../../daemon/lifecycle/manifest.ts';
import { packagePlatform } from '../../../daemon/lifecycle/target.ts';
import type { DaemonStatus } from '../../../shared/protocol/shapes.ts';
import type { Offer } from '../../../shared/protocol/upgrade-methods.ts';

const natives = { 'node-pty': '1.2.0', 'sodium-native': '5.1.0' };
const here = { machine: 'box', version: '1.2.0', target: 'linux-x64-glibc', natives };
const offer: Offer = {
  hash: 'ab'.repeat(32),
  size: 1000,
  version: '1.2.0',
  build: 'b1',
  target: 'linux-x64-glibc',
  natives,
};

describe('a machine takes', () => {
  test.each(['1.2.0', '1.2.1', '1.10.0', '2.0.0', '1.2.1-beta.1'])('version %s over 1.2.0', (version) => {
    expect(() => mayInstall({ ...offer, version }, here, false)).not.toThrow();
  });

  test.each(['1.1.9', '0.9.0', '1.2.0-beta.1', '1.2.0-beta.10'])(
    'version %s over 1.2.0 only where that is wanted',
    (version) => {
      const older = { ...offer, version };
      expect(() => mayInstall(older, here, false)).toThrow(
        expect.objectContaining({ code: 'denied', hint: expect.stringContaining('--allow-downgrade') }),
      );
      expect(() => mayInstall(older, here, true)).not.toThrow();
    },
  );

  test('versions in the order of semver, not of text', () => {
    expect(() => mayInstall({ ...offer, version: '1.10.0' }, { ...here, version: '1.9.0' }, false)).not.toThrow();
    expect(() => mayInstall({ ...offer, version: '1.9.0' }, { ...here, version: '1.10.0' }, false)).toThrow(/older/);
  });

  test('nothing for another platform, whatever is allowed [UPG-3]', () => {
    for (const target of ['linux-arm64-glibc', 'linux-x64-musl', 'darwin-x64', 'linux-x64', ''])
      expect(() => mayInstall({ ...offer, target }, here, true)).toThrow(/is for .*box is linux-x64-glibc/);
  });

  test('a bundle without native parts where it has the same ones, and no other', () => {
    const any = { ...offer, target: 'any' };
    expect(() => fitsMachine(any, { ...here, target: 'darwin-arm64' })).not.toThrow();
    expect(() => fitsMachine(any, { ...here, natives: { ...natives, 'node-pty': '1.1.0' } })).toThrow(/node-pty 1.2.0/);
    expect(() => fitsMachine(any, { ...here, natives: {} })).toThrow(/box has none/);
    expect(() => fitsMachine({ ...any, natives: { ...natives, more: '1' } }, here)).toThrow(/more 1/);
  });

  test.each(['1.2', 'v1.2.3', '1.2.3/../..', '../1.2.3', '1.2.3 ', ''])('no version called %j', (version) => {
    expect(() => mayInstall({ ...offer, version }, here, true)).toThrow(
      expect.objectContaining({ code: 'bad_bundle' }),
    );
  });

  test('no bundle beyond all bounds', () => {
    expect(() => mayInstall({ ...offer, size: 2 ** 40 }, here, true)).toThrow(/bytes/);
  });

  test('what was offered, and not what came instead', () => {
    const manifest: Manifest = {
      ...{ format: 1, name: 'niia', version: '1.2.0', build: 'b1', target: 'linux-x64-glibc', natives },
      ...{ node: 20, protocol: { min: 1, max: 1 }, files: {} },
    };
    expect(() => isWhatWasOffered(manifest, offer)).not.toThrow();
    for (const change of [{ version: '1.2.1' }, { build: 'b2' }, { target: 'any' }, { natives: { 'node-pty': '9' } }])
      expect(() => isWhatWasOffered({ ...manifest, ...change }, offer)).toThrow(/offered/);
  });
});

describe('a target', () => {
  test('names packages, where there are any for it', () => {
    expect(packagePlatform('linux-x64-glibc')).toBe('linux-x64');
    expect(packagePlatform('darwin-arm64')).toBe('darwin-arm64');
    expect(packagePlatform('linux-x64-musl')).toBeUndefined();
  });
});

describe('a new daemon', () => {
  const to = { entry: '/v/niia.js', version: '1.3.0', build: 'b2' };
  const link = { machine: 'm', id: 'i', path: null, rttMs: null, since: null, preferred: null, candidates: [] };
  const server = { pid: 1, version: '1.2.0', startedAt: '', rssBytes: 1 };
  const status = (
    links: DaemonStatus['links'][number]['state'][],
    headless: [string, number][],
    of = to,
  ): DaemonStatus => ({
    machine: { name: 'box', id: 'i', role: 'admin', labels: {} },
    ...{ version: of.version, build: of.build, platform: 'linux-x64', pid: 1, home: '/', startedAt: '' },
    team: { id: 't', name: 't', members: 2 },
    gateway: { url: null, embedded: true, state: 'connected', since: null, error: null },
    links: links.map((state) => ({ ...link, state })),
    headless: headless.map(([generation, sessions]) => ({ ...server, generation, sessions })),
    sessions: 0,
  });
  const baseline = baselineOf(
    status(
      ['up', 'down'],
      [
        ['old', 2],
        ['empty', 0],
      ],
      { ...to, version: '1.2.0' },
    ),
    ['local-1'],
  );

  test('has to be the new one, reach the sessions, and have a link again where there was one', () => {
    expect(baseline).toEqual({ links: 1, headless: ['old'], sessions: ['local-1'] });
    expect(
      whatIsMissing(
        status(
          ['down', 'up'],
          [
            ['new', 0],
            ['old', 2],
          ],
        ),
        to,
        baseline,
      ),
    ).toBeUndefined();
    expect(whatIsMissing(status(['down', 'connecting'], [['old', 2]]), to, baseline)).toMatch(/no link/);
    expect(whatIsMissing(status(['up'], [['new', 0]]), to, baseline)).toMatch(/headless server old/);
    expect(whatIsMissing(status(['up'], [['old', 2]], { ...to, build: 'b1' }), to, baseline)).toMatch(/not 1.3.0/);
  });

  test('needs no link where there was none', () => {
    const alone = baselineOf(status(['down'], []), []);
    expect(whatIsMissing(status([], []), to, alone)).toBeUndefined();
  });
});
