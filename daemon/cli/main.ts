import type { ErrorCode } from '../../shared/errors.ts';
import { NiiaError } from '../../shared/errors.ts';
import { Home } from '../home/home.ts';
import { version } from '../home/version.ts';
import * as approvals from './commands/approvals.ts';
import { ask } from './commands/ask.ts';
import { attach } from './commands/attach.ts';
import { bundle, supervise } from './commands/bundle.ts';
import { complete } from './commands/complete.ts';
import { completion } from './commands/completion.ts';
import * as config from './commands/config.ts';
import { copy } from './commands/copy.ts';
import { doctor } from './commands/doctor.ts';
import { down } from './commands/down.ts';
import { join } from './commands/join.ts';
import * as machines from './commands/machines.ts';
import { mcp } from './commands/mcp.ts';
import * as paths from './commands/paths.ts';
import * as policies from './commands/policy.ts';
import * as processes from './commands/processes.ts';
import * as prompts from './commands/prompt.ts';
import { read } from './commands/read.ts';
import { record } from './commands/record.ts';
import * as runs from './commands/run.ts';
import { plan } from './commands/run-plan.ts';
import * as service from './commands/service.ts';
import * as sessions from './commands/sessions.ts';
import { explain, report as reportState } from './commands/state.ts';
import { status } from './commands/status.ts';
import * as team from './commands/team.ts';
import { up } from './commands/up.ts';
import { upgrade } from './commands/upgrade.ts';
import { wait, waitIdle } from './commands/wait.ts';
import { wake } from './commands/wake.ts';
import { write } from './commands/write.ts';
import type { Context, Run } from './context.ts';
import { DaemonClient } from './daemon-client.ts';
import { Deadline } from './deadline.ts';
import { helpText } from './help.ts';
import { BrokenPipe, Output, writeBytes } from './output.ts';
import type { RawInvocation } from './parse.ts';
import { parse, wantsJson } from './parse.ts';
import type { CommandSpec, Invocation } from './spec.ts';
import type { CommandName, Specs } from './specs/all.ts';

/** One function for each command: a command without one does not compile. */
type Commands = { readonly [K in CommandName]: Run<Specs[K]> };

/**
 * They are small and stand in one bundle: a file of its own for each costs every start more than it saves (measured:
 * about 1 ms a file). What is large, the daemon and the like, is imported by the command that runs it.
 */
const commands: Commands = {
  up,
  down,
  daemon: processes.daemon,
  headless: processes.headless,
  gateway: processes.gateway,
  doctor,
  'service install': service.install,
  'service uninstall': service.uninstall,
  'service status': service.status,
  status,
  'remote status list': machines.list,
  start: machines.start,
  path: paths.path,
  'machine add-address': paths.addAddress,
  'machine remove-address': paths.removeAddress,
  'machine wake': wake,
  'config get': config.get,
  'config set': config.set,
  invite: team.invite,
  join,
  'team create': team.create,
  'team show': team.show,
  'team invite': team.invite,
  'team join': join,
  'team role': team.role,
  'team remove': team.remove,
  new: sessions.create,
  list: sessions.list,
  kill: sessions.kill,
  rename: sessions.rename,
  write,
  read,
  wait,
  'wait-idle': waitIdle,
  prompt: prompts.prompt,
  'get-answer': prompts.getAnswer,
  approvals: approvals.approvals,
  approve: approvals.approve,
  interrupt: prompts.interrupt,
  'policy list': policies.list,
  'policy allow': policies.allow,
  'policy deny': policies.deny,
  'policy remove': policies.remove,
  run: runs.start,
  'run list': runs.list,
  'run status': runs.status,
  'run logs': runs.logs,
  'run report': runs.report,
  'run cancel': runs.cancel,
  'run resume': runs.resume,
  'run approve': runs.approve,
  'run plan': plan,
  attach,
  record,
  upgrade,
  bundle,
  'upgrade-supervisor': supervise,
  explain,
  report: reportState,
  ask,
  cp: copy,
  mcp,
  completion,
  __complete: complete,
};

/** What a shell reports for a program that SIGPIPE ended. */
const brokenPipeCode = 141;

/** Runs one command line and ends the process with its exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  const out = new Output(wantsJson(argv));
  let context: Context | undefined;
  try {
    const parsed = parse(argv);
    if (parsed.do === 'version') {
      await out.result({ version }, () => `${version}\n`);
    } else if (parsed.do === 'help') {
      await out.text(helpText(parsed.topic));
    } else {
      const { command, invocation } = parsed;
      context = makeContext(invocation, out);
      await run(command, invocation, context);
    }
  } catch (error) {
    process.exit(await report(error, out, context));
  }
  process.exit(context?.exitCode ?? 0);
}

function makeContext(invocation: RawInvocation, out: Output): Context {
  const home = Home.fromEnvironment();
  const deadline = new Deadline(invocation.timeoutMs);
  const daemon = new DaemonClient(home, invocation.machine, deadline);
  return { home, out, daemon, deadline, exitCode: 0, failureCode: undefined };
}

async function run(command: CommandName, invocation: RawInvocation, context: Context): Promise<void> {
  // The parser filled in exactly the arguments and options of this command's description.
  const runCommand = commands[command] as Run<CommandSpec>;
  try {
    await runCommand(invocation as Invocation<CommandSpec>, context);
  } finally {
    context.daemon.close();
  }
}

/** Tells what went wrong, and gives the exit code for it. */
async function report(thrown: unknown, out: Output, context: Context | undefined): Promise<number> {
  if (thrown instanceof BrokenPipe) return brokenPipeCode;
  const error = withHint(NiiaError.from(thrown));
  const hint = error.hint === undefined ? '' : `${error.hint}\n`;
  const text = out.json ? `${JSON.stringify({ error })}\n` : `niia: ${error.message}\n${hint}`;
  const stack = process.env['NIIA_LOG'] === 'debug' && thrown instanceof Error ? `${thrown.stack}\n` : '';
  try {
    await writeBytes(2, Buffer.from(stack + text));
  } catch (failure) {
    // With stderr gone too, the exit code is all that can still be told.
    if (!(failure instanceof BrokenPipe)) throw failure;
  }
  return context?.failureCode ?? error.exitCode;
}

/** What to do next where the error itself does not know. */
const nextSteps: Partial<Record<ErrorCode, string>> = {
  usage: 'See: niia help',
  timeout: 'Give it more time: --timeout SECONDS',
};

function withHint(error: NiiaError): NiiaError {
  const hint = error.hint ?? nextSteps[error.code];
  return new NiiaError(error.code, error.message, hint, { cause: error });
}
