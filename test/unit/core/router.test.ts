import { describe, expect, it } from 'vitest';
import type { AuditEntry } from '../../../daemon/core/audit.ts';
import type { Machines } from '../../../daemon/core/machines.ts';
import { Router } from '../../../daemon/core/router.ts';
import type { ConfigStore } from '../../../daemon/home/config.ts';
import type { Principal, RequestHeader } from '../../../shared/rpc/call.ts';
import { IncomingCall } from '../../../shared/rpc/call.ts';

const config = { labels: {}, ask: 'admin', workers: 'prompt' } as unknown as ConfigStore['current'];
const worker = { kind: 'local', id: 'me', name: 'BOX/local-1', role: 'operator', session: 'local-1' } as const;

/** A machine that knows another, and what reached that one or its own sessions. */
function stage() {
  const reached: string[] = [];
  const audited: AuditEntry[] = [];
  const router = new Router({
    self: 'me',
    machines: {
      find: (name) => ({ id: name === 'OTHER' ? 'other' : 'me', name }) as ReturnType<Machines['find']>,
      peer: async (machine) => {
        reached.push(`asked ${machine.id}`);
        throw new Error('that is all of it');
      },
      onWaiting: () => () => undefined,
    },
    sessions: {
      serve: async (method, call) => {
        reached.push(`${method} ${JSON.stringify(call.header.p)}`);
        return { value: {} };
      },
    },
    handlers: {} as ConstructorParameters<typeof Router>[0]['handlers'],
    config: { current: config },
    audit: { record: (entry) => audited.push(entry) },
  });
  const serve = (header: Pick<RequestHeader, 'm' | 'p' | 'to'>, principal: Principal = worker) => {
    const ignore = () => undefined;
    return router.serve(new IncomingCall(1, ignore, ignore, header, new Uint8Array()), principal);
  };
  return { reached, audited, serve };
}

describe('what a program inside a session asks', () => {
  it('is refused alike here and on its way to another machine, and audited [WORK-7]', async () => {
    const { reached, audited, serve } = stage();
    for (const to of [undefined, 'OTHER']) {
      for (const m of ['session.approve', 'session.write', 'session.new', 'policy.set', 'config.set', 'session.kill']) {
        const header = { m, p: { session: 'local-2' }, ...(to && { to }) };
        await expect(serve(header)).rejects.toMatchObject({ code: 'denied' });
      }
    }
    expect(reached).toEqual([]);
    expect(audited).toHaveLength(12);
    expect(audited.every(({ outcome }) => outcome === 'refused')).toBe(true);
  });

  it('is a prompt that is looked at with care, wherever it goes, whatever it says itself [WORK-4]', async () => {
    const { reached, serve } = stage();
    const p = { session: 'x', id: 'p', careful: false };
    await serve({ m: 'session.prompt', p });
    expect(reached).toEqual([`session.prompt ${JSON.stringify({ ...p, careful: true })}`]);
    const header = { m: 'session.prompt', p, to: 'OTHER' };
    await expect(serve(header)).rejects.toThrow();
    expect(reached.at(-1)).toBe('asked other');
    expect(header.p).toMatchObject({ careful: true });
  });
});
