import * as v from 'valibot';

/** Which machine: what most tools take. */
export const onMachine = {
  machine: v.optional(
    v.pipe(v.string(), v.minLength(1), v.description('Name or id of a machine of the team; this machine unless given')),
  ),
};

/** Which session on it. */
export const inSession = {
  session: v.pipe(v.string(), v.minLength(1), v.maxLength(128), v.description('Id (local-1) or name of the session')),
};

/** How long a tool may wait before it answers with an error of code `timeout`. */
export function timeout(seconds: number) {
  return {
    timeoutSeconds: v.optional(
      v.pipe(
        v.number(),
        v.minValue(1),
        v.maxValue(86_400),
        v.description(`Give up after so many seconds; ${seconds} unless given`),
      ),
      seconds,
    ),
  };
}
