import type { Run } from '../context.ts';
import { runningDaemon } from '../running-daemon.ts';
import type { Specs } from '../specs/all.ts';
import { startDaemon } from '../start-daemon.ts';

export const join: Run<Specs['join']> = async ({ args: [code], options }, { home, daemon, deadline, out }) => {
  const { name, leave } = options;
  // A code that cannot be one is refused before anything is started for it.
  const { decodeInvite } = await import('../../team/invite-code.ts');
  decodeInvite(code);
  if (!(await runningDaemon(daemon))) {
    await startDaemon({ home, daemon, deadline, flags: name === undefined ? [] : [`--name=${name}`] });
  }
  // Not tried again: whether a code was used up is for the answer to say.
  const result = await daemon.ask('team.join', { code, name, leave });
  await out.result(
    result,
    () => `${result.machine.name} is ${result.role} in ${result.team.name} now, invited by ${result.inviter}\n`,
  );
  if (!out.json) await out.advice('See the team: niia remote status list');
};
