import * as v from 'valibot';
import { method } from './method.ts';
import { nameSchema } from './shapes.ts';

const pattern = v.pipe(v.string(), v.minLength(1), v.maxLength(1000));

/** What is answered without asking a person. */
export const approvalPolicySchema = v.object({
  name: nameSchema,
  effect: v.picklist(['allow', 'deny']),
  /** A regular expression. To allow, it must match the whole; to deny, a part is enough. */
  pattern,
  /** What it is held against: the command that is asked about, or the question's text. */
  about: v.picklist(['command', 'question']),
  /** Only for sessions of this name or id; null: for all. */
  session: v.nullable(v.string()),
  /** Only for this kind of worker; null: for all. */
  worker: v.nullable(v.string()),
});
export type ApprovalPolicy = v.InferOutput<typeof approvalPolicySchema>;

const all = v.object({ policies: v.array(approvalPolicySchema) });

/** Policies of approval of one machine, in the order in which they are asked. */
export const policyMethods = {
  'policy.list': method({
    at: 'daemon',
    access: 'viewer',
    changes: false,
    params: v.object({}),
    result: all,
    down: v.never(),
    up: v.never(),
  }),
  /** One of the same name is replaced. */
  'policy.set': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: approvalPolicySchema,
    result: all,
    down: v.never(),
    up: v.never(),
  }),
  'policy.remove': method({
    at: 'daemon',
    access: 'admin',
    changes: true,
    params: v.object({ name: nameSchema }),
    result: all,
    down: v.never(),
    up: v.never(),
  }),
} as const;
