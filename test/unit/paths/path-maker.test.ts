import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Home } from '../../../daemon/home/home.ts';
import { AddressBook } from '../../../daemon/paths/address-book.ts';
import { Carriers } from '../../../daemon/paths/carrier.ts';
import { PathMaker } from '../../../daemon/paths/path-maker.ts';
import { NiiaError } from '../../../shared/errors.ts';

let root: string;
let offers: number;
/** Whether what carries signals gets them there. */
let carried: boolean;
let maker: PathMaker;
let dialled: string[];
let book: AddressBook;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'niia-paths-'));
  dialled = [];
  offers = 0;
  carried = false;
  book = new AddressBook(new Home(root), { warn: () => undefined });
  maker = new PathMaker({
    self: 'a',
    mesh: {
      status: () => ({ state: 'down', path: null, rttMs: null, since: null, preferred: null, candidates: [] }),
      addPath: () => undefined,
    },
    book,
    dial: (_machine, url) => {
      dialled.push(url);
      return Promise.reject(new NiiaError('offline', 'nobody listens'));
    },
    webrtc: {
      open: (initiator, events) => {
        if (initiator) events.signal({ type: 'offer', sdp: `offer ${++offers}` });
        return { signal: () => undefined, close: () => undefined };
      },
    },
    carriers: new Carriers([{ name: 'test', reaches: () => true, send: async () => carried }]),
    addresses: () => ({ urls: [], computer: 'here' }),
    changed: () => undefined,
    log: { debug: () => undefined },
  });
  maker.setMachines(['b']);
});
afterEach(() => {
  maker.close();
  rmSync(root, { recursive: true });
});

const tells = (...urls: string[]) => maker.receive('b', { type: 'addresses', urls, computer: 'there' });
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the addresses that a machine tells', () => {
  it('are dialled at once, and kept', async () => {
    tells('wss://10.0.0.1:7447');
    await turn();
    expect(dialled).toEqual(['wss://10.0.0.1:7447']);
    expect(book.of('b')).toMatchObject([{ url: 'wss://10.0.0.1:7447', source: 'told' }]);
  });

  it('on its own loopback are nothing on another computer', async () => {
    tells('wss://127.0.0.1:7447');
    await turn();
    expect([dialled, book.of('b')]).toEqual([[], []]);
  });

  it('are written down and dialled in bounds, however often it tells others [SIG-5]', async () => {
    for (let i = 0; i < 1_000; i++) {
      tells(`wss://10.0.${i >> 8}.${i & 255}:7447`);
      await turn();
    }
    expect(dialled.length).toBeGreaterThan(5);
    expect(dialled.length).toBeLessThan(20);
    expect(book.of('b').map(({ url }) => url)).toEqual(['wss://10.0.0.9:7447']);
  });
});

describe('an offer', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    maker.setMachines([]);
    offers = 0;
  });
  afterEach(() => void vi.useRealTimers());

  it('that nothing could carry is made anew soon: whoever could carry it then may be there [SIG-6]', async () => {
    maker.setMachines(['c']);
    await vi.advanceTimersByTimeAsync(2_500);
    expect(offers).toBe(2);
    carried = true;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(offers).toBe(3);
  });

  it('that arrived is waited for [SIG-6]', async () => {
    carried = true;
    maker.setMachines(['c']);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(offers).toBe(1);
  });
});
