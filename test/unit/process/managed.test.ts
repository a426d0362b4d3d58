import { describe, expect, test } from 'vitest';
import { isManaged } from '../../../daemon/process/managed.ts';

describe('a process is a service manager’s', () => {
  test.each([
    ['where systemd names it', { SYSTEMD_EXEC_PID: '7' }, 7, 1, true],
    ['not where systemd started one above it', { SYSTEMD_EXEC_PID: '6' }, 7, 6, false],
    ['where launchd started it', { XPC_SERVICE_NAME: 'dev.niia.home' }, 7, 1, true],
    ['not where it was started in a terminal of macOS', { XPC_SERVICE_NAME: '0' }, 7, 1, false],
    ['not where somebody below launchd’s service started it', { XPC_SERVICE_NAME: 'dev.niia.home' }, 7, 6, false],
    ['not where nobody says so', {}, 7, 1, false],
  ])('%s', (_, env, pid, parent, managed) => {
    expect(isManaged(env, pid, parent)).toBe(managed);
  });
});
