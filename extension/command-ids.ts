/** Every command of the extension. Handlers, the manifest and this list are held together by types and by a test. */
export const commandIds = [
  'niia.start',
  'niia.refresh',
  'niia.showLog',
  'niia.invite',
  'niia.join',
  'niia.openTerminal',
  'niia.newSession',
  'niia.renameSession',
  'niia.killSession',
  'niia.remoteAsk',
  'niia.remoteStart',
] as const;
export type CommandId = (typeof commandIds)[number];

/** One handler for each: a missing one does not compile. `target` is what a menu or another extension passes. */
export type CommandHandlers = Record<CommandId, (target: unknown) => Promise<void> | void>;

/** When-clause keys that the extension sets. */
export const contextKeys = { daemon: 'niia.daemon' } as const;

/** What a command is about: a row of the view, or what another extension writes. */
export interface Target {
  /** Id or name. */
  machine?: string;
  /** Id or name. */
  session?: string;
}

/** Reads what came with a command; whatever else comes is as if nothing came. */
export function targetOf(value: unknown): Target {
  if (typeof value !== 'object' || value === null) return {};
  const target: Target = {};
  if ('machine' in value && typeof value.machine === 'string') target.machine = value.machine;
  if ('session' in value && typeof value.session === 'string') target.session = value.session;
  return target;
}
