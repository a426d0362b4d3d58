import type * as v from 'valibot';
import { askMethods } from './ask-methods.ts';
import { attemptMethods } from './attempt-methods.ts';
import { copyMethods } from './copy-methods.ts';
import { doctorMethods } from './doctor-methods.ts';
import { machineMethods } from './machine-methods.ts';
import { pathMethods } from './path-methods.ts';
import { policyMethods } from './policy-methods.ts';
import { runMethods } from './run-methods.ts';
import { sessionMethods } from './session-methods.ts';
import { stateMethods } from './state-methods.ts';
import { upgradeMethods } from './upgrade-methods.ts';
import { wakeMethods } from './wake-methods.ts';
import { workerMethods } from './worker-methods.ts';

/** Every request that exists: on the local socket, over links and in memory. */
export const methods = {
  ...sessionMethods,
  ...askMethods,
  ...attemptMethods,
  ...copyMethods,
  ...machineMethods,
  ...doctorMethods,
  ...pathMethods,
  ...wakeMethods,
  ...upgradeMethods,
  ...stateMethods,
  ...workerMethods,
  ...policyMethods,
  ...runMethods,
} as const;

export type Methods = typeof methods;
export type MethodName = keyof Methods;
export type HeadlessMethod = { [M in MethodName]: Methods[M]['at'] extends 'headless' ? M : never }[MethodName];
export type DaemonMethod = Exclude<MethodName, HeadlessMethod>;

/** What a caller writes, and what a server reads once the schema has filled it in. */
export type ParamsOf<M extends MethodName> = v.InferInput<Methods[M]['params']>;
export type ParsedParamsOf<M extends MethodName> = v.InferOutput<Methods[M]['params']>;
export type ResultOf<M extends MethodName> = v.InferOutput<Methods[M]['result']>;
export type DownEventOf<M extends MethodName> = v.InferOutput<Methods[M]['down']>;
export type UpEventOf<M extends MethodName> = v.InferOutput<Methods[M]['up']>;

export function isMethod(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}
