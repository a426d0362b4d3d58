import { describe, expect, it } from 'vitest';
import { authorize } from '../../../daemon/core/policy.ts';
import type { Config } from '../../../daemon/home/config.ts';
import type { MethodName } from '../../../shared/protocol/methods.ts';
import { methods } from '../../../shared/protocol/methods.ts';
import type { Role } from '../../../shared/protocol/shapes.ts';

const config: Config = {
  labels: {},
  ask: 'admin',
  workers: 'prompt',
  direct: 'on',
  p2p: 'on',
  lan: 'on',
  guard: 'on',
  wake: {},
  disk: 2 ** 31,
  keepSessions: 100,
};

function may(role: Role, method: MethodName, params: unknown = {}, settings: Config = config): boolean {
  try {
    authorize(method, params, { kind: 'machine', id: 'm', name: 'M', role }, settings);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'denied' });
    return false;
  }
}

describe('what another machine may do here', () => {
  /** The least role for each method, as the documentation promises it; `null`: nobody from outside. */
  const promised: Record<MethodName, Role | null> = {
    'run.start': 'operator',
    'run.list': 'viewer',
    'run.status': 'viewer',
    'run.watch': 'viewer',
    'run.logs': 'viewer',
    'run.report': 'viewer',
    'run.cancel': 'operator',
    'run.resume': 'operator',
    // Whose attempt it is, or who has a vote, is known where the run is.
    'run.renew': 'viewer',
    'run.deliver': 'viewer',
    'run.replicate': 'viewer',
    'scratch.list': 'viewer',
    'scratch.get': 'viewer',
    'scratch.put': 'viewer',
    'session.new': 'operator',
    'session.list': 'viewer',
    'session.watch': 'viewer',
    'session.kill': 'operator',
    'session.rename': 'operator',
    'session.write': 'operator',
    'session.read': 'viewer',
    'session.tail': 'viewer',
    'session.wait': 'viewer',
    'session.attach': 'operator',
    'session.explain': 'viewer',
    'session.report': null,
    'session.prompt': 'operator',
    'session.answer': 'operator',
    'session.approvals': 'viewer',
    'session.approve': 'operator',
    'session.interrupt': 'operator',
    'session.lease': null,
    'attempt.begin': 'operator',
    'attempt.end': 'operator',
    'attempt.lacks': 'operator',
    'policy.list': 'viewer',
    'policy.set': 'admin',
    'policy.remove': 'admin',
    'machine.ask': 'admin',
    'copy.look': 'admin',
    'copy.put': 'admin',
    'copy.get': 'admin',
    'headless.holdsAsk': 'viewer',
    'headless.info': 'viewer',
    'headless.stop': 'admin',
    'daemon.status': 'viewer',
    'daemon.stop': 'admin',
    'machine.list': 'viewer',
    'machine.watch': 'viewer',
    'machine.report': 'viewer',
    'machine.start': 'admin',
    'doctor.run': 'admin',
    'machine.known': null,
    'machine.setWake': null,
    'machine.sendWake': 'admin',
    'config.get': 'admin',
    'config.set': 'admin',
    'team.show': 'viewer',
    'team.create': null,
    'team.invite': 'admin',
    'team.join': null,
    'team.role': 'admin',
    'team.remove': 'admin',
    'path.show': null,
    'path.pin': null,
    'path.addAddress': 'admin',
    'path.removeAddress': 'admin',
    'path.signal': 'viewer',
    'machine.installation': 'viewer',
    'upgrade.sign': null,
    'upgrade.begin': 'admin',
    'upgrade.send': 'admin',
    'upgrade.apply': 'admin',
    'upgrade.status': 'admin',
    'headless.probe': 'admin',
    'headless.retire': 'admin',
    'headless.adopt': 'admin',
  };

  it.each(Object.entries(promised))('%s needs %s', (method, least) => {
    const order: Role[] = ['viewer', 'operator', 'admin'];
    for (const role of order) {
      const allowed = least !== null && order.indexOf(role) >= order.indexOf(least);
      expect([role, may(role, method as MethodName)]).toEqual([role, allowed]);
    }
  });

  it('is said for every method there is', () => {
    expect(Object.keys(promised).sort()).toEqual(Object.keys(methods).sort());
  });

  it('lets a viewer attach read-only', () => {
    expect(may('viewer', 'session.attach', { readOnly: true })).toBe(true);
    expect(may('viewer', 'session.attach', { readOnly: 'yes' })).toBe(false);
  });

  it('lets operators ask and copy where the owner allowed it', () => {
    for (const method of ['machine.ask', 'copy.look', 'copy.put', 'copy.get'] as const) {
      expect(may('operator', method, {}, { ...config, ask: 'operator' })).toBe(true);
      expect(may('viewer', method, {}, { ...config, ask: 'operator' })).toBe(false);
    }
  });
});
