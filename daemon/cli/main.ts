import { NiiaError } from '../../shared/errors.ts';
import { Home } from '../home/home.ts';
import { version } from '../home/version.ts';
import type { Context, Run } from './context.ts';
import { BrokenPipe, Output, writeBytes } from './output.ts';
import type { RawInvocation } from './parse.ts';
import { parse, wantsJson } from './parse.ts';
import type { CommandSpec, Invocation } from './spec.ts';
import type { CommandName, Specs } from './specs/all.ts';

type Loaders = { readonly [K in CommandName]: () => Promise<Run<Specs[K]>> };

/** Each command's code is loaded when it is called; a command without code does not compile. */
const loaders: Loaders = {
  up: async () => (await import('./commands/up.ts')).up,
  down: async () => (await import('./commands/down.ts')).down,
  daemon: async () => (await import('./commands/processes.ts')).daemon,
  headless: async () => (await import('./commands/processes.ts')).headless,
  gateway: async () => (await import('./commands/processes.ts')).gateway,
  status: async () => (await import('./commands/status.ts')).status,
  'remote status list': async () => (await import('./commands/machines.ts')).list,
  start: async () => (await import('./commands/machines.ts')).start,
  'config get': async () => (await import('./commands/config.ts')).get,
  'config set': async () => (await import('./commands/config.ts')).set,
  invite: async () => (await import('./commands/team.ts')).invite,
  join: async () => (await import('./commands/join.ts')).join,
  'team create': async () => (await import('./commands/team.ts')).create,
  'team show': async () => (await import('./commands/team.ts')).show,
  'team invite': async () => (await import('./commands/team.ts')).invite,
  'team join': async () => (await import('./commands/join.ts')).join,
  'team role': async () => (await import('./commands/team.ts')).role,
  'team remove': async () => (await import('./commands/team.ts')).remove,
  new: async () => (await import('./commands/sessions.ts')).create,
  list: async () => (await import('./commands/sessions.ts')).list,
  kill: async () => (await import('./commands/sessions.ts')).kill,
  rename: async () => (await import('./commands/sessions.ts')).rename,
  write: async () => (await import('./commands/write.ts')).write,
  read: async () => (await import('./commands/read.ts')).read,
  wait: async () => (await import('./commands/wait.ts')).wait,
  'wait-idle': async () => (await import('./commands/wait.ts')).waitIdle,
  attach: async () => (await import('./commands/attach.ts')).attach,
  record: async () => (await import('./commands/record.ts')).record,
  ask: async () => (await import('./commands/ask.ts')).ask,
  completion: async () => (await import('./commands/completion.ts')).completion,
  __complete: async () => (await import('./commands/complete.ts')).complete,
};

/** These are processes of their own: they end when their work does, not when `run` returns. */
const servers: readonly CommandName[] = ['daemon', 'headless', 'gateway'];

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
      const { helpText } = await import('./help.ts');
      await out.text(helpText(parsed.topic));
    } else {
      const { command, invocation } = parsed;
      context = await makeContext(invocation, out);
      await run(command, invocation, context);
      if (servers.includes(command)) {
        process.exitCode = context.exitCode;
        return;
      }
    }
  } catch (error) {
    process.exit(await report(error, out, context));
  }
  process.exit(context?.exitCode ?? 0);
}

async function makeContext(invocation: RawInvocation, out: Output): Promise<Context> {
  const [{ DaemonClient }, { Deadline }] = await Promise.all([import('./daemon-client.ts'), import('./deadline.ts')]);
  const home = Home.fromEnvironment();
  const deadline = new Deadline(invocation.timeoutMs);
  const daemon = new DaemonClient(home, invocation.machine, deadline);
  return { home, out, daemon, deadline, exitCode: 0, failureCode: undefined };
}

async function run(command: CommandName, invocation: RawInvocation, context: Context): Promise<void> {
  const load: () => Promise<Run<CommandSpec>> = loaders[command] as () => Promise<Run<CommandSpec>>;
  const runCommand = await load();
  try {
    // The parser filled in exactly the arguments and options of this command's description.
    await runCommand(invocation as Invocation<CommandSpec>, context);
  } finally {
    context.daemon.close();
  }
}

/** Tells what went wrong, and gives the exit code for it. */
async function report(thrown: unknown, out: Output, context: Context | undefined): Promise<number> {
  if (thrown instanceof BrokenPipe) return brokenPipeCode;
  const error = NiiaError.from(thrown);
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
