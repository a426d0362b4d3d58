import * as v from 'valibot';
import { method } from './method.ts';

const findingEntries = {
  /** `skip`: it does not apply here, or cannot be told. */
  status: v.picklist(['pass', 'warn', 'fail', 'skip']),
  found: v.string(),
  /** A command or a sentence that mends it; null where nothing is to be done, or nobody knows. */
  mend: v.nullable(v.string()),
};
export const findingSchema = v.object(findingEntries);
export type Finding = v.InferOutput<typeof findingSchema>;

export const diagnosisSchema = v.object({
  checks: v.array(v.object({ name: v.string(), ...findingEntries })),
  /** No check failed. */
  ok: v.boolean(),
});
export type Diagnosis = v.InferOutput<typeof diagnosisSchema>;

export const doctorMethods = {
  /** The checks of `niia doctor`, as the daemon of the machine finds it. It tells of the machine's files. */
  'doctor.run': method({
    at: 'daemon',
    access: 'admin',
    changes: false,
    params: v.object({}),
    result: diagnosisSchema,
    down: v.never(),
    up: v.never(),
  }),
} as const;
