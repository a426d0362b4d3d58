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
  'niia.runConnector',
  'niia.runOpenTerminal',
  'niia.runApprove',
  'niia.runCancel',
  'niia.runResume',
  'niia.runReport',
  'niia.runGraph',
] as const;
export type CommandId = (typeof commandIds)[number];

/** One handler for each: a missing one does not compile. `target` is what a menu or another extension passes. */
export type CommandHandlers = Record<CommandId, (target: unknown) => Promise<void> | void>;

/** When-clause keys that the extension sets. */
export const contextKeys = {
  daemon: 'niia.daemon',
  /** `unknown`, `none` or `some`. */
  runs: 'niia.runs',
} as const;

/** What a command is about: a row of a view, or what another extension writes. */
export interface Target {
  /** Id or name. */
  machine?: string;
  /** Id or name. */
  session?: string;
  /** Id. */
  run?: string;
  /** Of the run: its name. */
  worker?: string;
}

const targetKeys = ['machine', 'session', 'run', 'worker'] as const;

/** Reads what came with a command; whatever else comes is as if nothing came. */
export function targetOf(value: unknown): Target {
  if (typeof value !== 'object' || value === null) return {};
  const given = new Map(Object.entries(value));
  const target: Target = {};
  for (const key of targetKeys) {
    const said: unknown = given.get(key);
    if (typeof said === 'string') target[key] = said;
  }
  return target;
}
