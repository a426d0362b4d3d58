/**
 * Whether a service manager started this very process and starts it again when it fails: systemd (systemd.exec(5),
 * SYSTEMD_EXEC_PID, from version 248 on) or launchd.
 */
export function isManaged(env: NodeJS.ProcessEnv, pid: number, parent: number): boolean {
  const launchd = env['XPC_SERVICE_NAME'];
  return env['SYSTEMD_EXEC_PID'] === String(pid) || (parent === 1 && launchd !== undefined && launchd !== '0');
}
