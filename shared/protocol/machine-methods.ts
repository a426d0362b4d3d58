import * as v from 'valibot';
import { method } from './method.ts';
import { daemonStatusSchema, machineInfoSchema, machineReportSchema, nameSchema, roleSchema } from './shapes.ts';

const memberSchema = v.object({
  name: v.string(),
  id: v.string(),
  role: roleSchema,
  self: v.boolean(),
  joinedAt: v.string(),
});

export const machineMethods = {
  'daemon.status': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: daemonStatusSchema,
    down: v.never(),
    up: v.never(),
  }),
  /** Answers, then ends the daemon; with `sessions` the sessions too. Headless servers in which nothing lives end. */
  'daemon.stop': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ sessions: v.boolean() }),
    result: v.object({
      pid: v.number(),
      sessionsEnded: v.number(),
      /** Pids of headless servers that are ending because nothing lives in them. */
      serversEnded: v.optional(v.array(v.number()), []),
    }),
    down: v.never(),
    up: v.never(),
  }),
  'machine.list': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({ machines: v.array(machineInfoSchema) }),
    down: v.never(),
    up: v.never(),
  }),
  /** The list now and after every change (at most ten times a second), until cancelled. */
  'machine.watch': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({}),
    down: v.object({ machines: v.array(machineInfoSchema) }),
    up: v.never(),
  }),
  /** What the machine says of itself, now and after every change; daemons ask it of each other. */
  'machine.report': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({}),
    down: machineReportSchema,
    up: v.never(),
  }),
  /** Starts the headless server where none runs. */
  'machine.start': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({}),
    result: v.object({
      machine: v.string(),
      headless: v.literal('running'),
      pid: v.number(),
      started: v.boolean(),
      /** Sessions that were started again with it (`niia new --restore`). */
      restored: v.optional(v.array(v.string())),
    }),
    down: v.never(),
    up: v.never(),
  }),
  'config.get': method({
    at: 'daemon',
    access: 'admin',
    changes: false,
    params: v.object({ key: v.optional(v.string()) }),
    result: v.object({ config: v.record(v.string(), v.unknown()) }),
    down: v.never(),
    up: v.never(),
  }),
  'config.set': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ key: v.string(), value: v.string() }),
    result: v.object({ config: v.record(v.string(), v.unknown()) }),
    down: v.never(),
    up: v.never(),
  }),
  'team.show': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: v.object({ team: v.object({ id: v.string(), name: v.string() }), members: v.array(memberSchema) }),
    down: v.never(),
    up: v.never(),
  }),
  /** A new team of one with this machine as its admin; refused while the present team has other members, unless `leave`. */
  'team.create': method({
    at: 'daemon',
    access: 'local',
    changes: true,
    params: v.object({ name: nameSchema, leave: v.optional(v.boolean()) }),
    result: v.object({ team: v.object({ id: v.string(), name: v.string() }) }),
    down: v.never(),
    up: v.never(),
  }),
  'team.invite': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ role: roleSchema, expiresMs: v.pipe(v.number(), v.minValue(1), v.maxValue(30 * 86_400_000)) }),
    result: v.object({ code: v.string(), role: roleSchema, expiresAt: v.string() }),
    down: v.never(),
    up: v.never(),
  }),
  'team.join': method({
    at: 'daemon',
    access: 'local',
    changes: true,
    params: v.object({ code: v.string(), name: v.optional(nameSchema), leave: v.optional(v.boolean()) }),
    result: v.object({
      team: v.object({ id: v.string(), name: v.string() }),
      machine: v.object({ name: v.string(), id: v.string() }),
      role: roleSchema,
      inviter: v.string(),
    }),
    down: v.never(),
    up: v.never(),
  }),
  'team.role': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ machine: v.string(), role: roleSchema }),
    result: v.object({ machine: v.string(), role: roleSchema }),
    down: v.never(),
    up: v.never(),
  }),
  'team.remove': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ machine: v.string() }),
    result: v.object({ machine: v.string() }),
    down: v.never(),
    up: v.never(),
  }),
} as const;
