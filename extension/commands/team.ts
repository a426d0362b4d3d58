import { env, ProgressLocation, window } from 'vscode';
import { NiiaError } from '../../shared/errors.ts';
import type { ResultOf } from '../../shared/protocol/methods.ts';
import type { Role } from '../../shared/protocol/shapes.ts';
import { bareCode, codeProblem } from '../input-rules.ts';
import { moment } from '../machine-text.ts';
import type { Services } from '../services.ts';

const roleItems: Array<{ label: string; description: string; role: Role }> = [
  { label: 'Operator', description: 'also opens and types in terminals', role: 'operator' },
  { label: 'Viewer', description: 'sees machines and sessions, and reads', role: 'viewer' },
  { label: 'Admin', description: 'also runs commands, starts, invites and removes', role: 'admin' },
];
const minuteMs = 60_000;
const expiryItems = [
  { label: '10 minutes', ms: 10 * minuteMs },
  { label: '1 hour', ms: 60 * minuteMs },
  { label: '1 day', ms: 24 * 60 * minuteMs },
];

/** Makes a one-time code, copies it and shows it. */
export async function invite({ connection }: Services): Promise<void> {
  const title = 'niia: Invite a Machine';
  const role = await window.showQuickPick(roleItems, { title, placeHolder: 'What may it do on the others?' });
  if (!role) return;
  const expiry = await window.showQuickPick(expiryItems, { title, placeHolder: 'How long may it take to join?' });
  if (!expiry) return;
  const made = await connection.change('team.invite', { role: role.role, expiresMs: expiry.ms });
  await env.clipboard.writeText(made.code);
  // Not awaited: the message may stay for as long as the code is needed.
  void offerCode(made);
}

async function offerCode({ code, role, expiresAt }: ResultOf<'team.invite'>): Promise<void> {
  const command = `niia join ${code}`;
  const until = moment(expiresAt, new Date());
  const message = `niia: code for one ${role}, good once and until ${until}, copied to the clipboard. There: ${command}`;
  const answer = await window.showInformationMessage(message, 'Copy Code', 'Copy Command');
  if (answer === 'Copy Code') await env.clipboard.writeText(code);
  if (answer === 'Copy Command') await env.clipboard.writeText(command);
}

/** Takes another machine's code and makes this machine a member of its team. */
export async function join({ connection }: Services): Promise<void> {
  const text = await window.showInputBox({
    title: 'niia: Join a Team',
    prompt: 'The code that a machine of the team made: "niia: Invite a Machine" there, or niia invite.',
    placeHolder: 'niia1-…',
    ignoreFocusOut: true,
    validateInput: codeProblem,
  });
  if (text === undefined) return;
  const code = bareCode(text);
  const joined = await joinOrLeave(connection, code);
  if (!joined) return;
  const { team, role, machine } = joined;
  void window.showInformationMessage(`niia: ${machine.name} is now ${article(role)} of the team ${team.name}.`);
}

/** Undefined where the person would rather stay in the present team. */
async function joinOrLeave(connection: Services['connection'], code: string) {
  try {
    return await joining(connection, code, false);
  } catch (error) {
    if (!(error instanceof NiiaError) || error.code !== 'already_member') throw error;
    return (await mayLeave(error)) ? await joining(connection, code, true) : undefined;
  }
}

function joining(connection: Services['connection'], code: string, leave: boolean) {
  const progress = { location: ProgressLocation.Notification, title: 'niia: joining the team' };
  return window.withProgress(progress, async () => await connection.change('team.join', { code, leave }));
}

async function mayLeave(error: NiiaError): Promise<boolean> {
  const leave = 'Leave and Join';
  const detail = `${error.message}. This machine leaves its present team and is no longer reached by its machines.`;
  return (await window.showWarningMessage('Leave the present team?', { modal: true, detail }, leave)) === leave;
}

function article(role: Role): string {
  return `${role === 'viewer' ? 'a' : 'an'} ${role}`;
}
