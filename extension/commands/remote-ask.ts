import type { Memento, OutputChannel, QuickInputButton } from 'vscode';
import { ProgressLocation, ThemeIcon, window } from 'vscode';
import { NiiaError } from '../../shared/errors.ts';
import { streams } from '../../shared/protocol/session-methods.ts';
import type { MachineInfo } from '../../shared/protocol/shapes.ts';
import { typedCall } from '../../shared/rpc/client.ts';
import { remembered, withCommand } from '../ask-history.ts';
import { targetOf } from '../command-ids.ts';
import { newKey, signalExitCode } from '../daemon-connection.ts';
import { moment } from '../machine-text.ts';
import type { Services } from '../services.ts';
import { PacedWriter } from '../terminal/paced-writer.ts';

const historyKey = 'niia.askHistory';
const pace = { everyMs: 25, most: 64 << 10, highWater: 256 << 10 };
/** A command that ignores its interruption is ended after this. */
const graceMs = 2_000;

/** Runs a command by a machine's shell and streams what it says into `output`. */
export async function remoteAsk(services: Services, output: OutputChannel, argument: unknown): Promise<void> {
  const machine = await services.picker.machine(targetOf(argument), 'niia: Ask a Machine');
  if (!machine) return;
  const { globalState } = services.context;
  const command = await askForCommand(machine, globalState);
  if (!command) return;
  await globalState.update(historyKey, withCommand(remembered(globalState.get(historyKey)), command));
  output.show(true);
  const exitCode = await run(services, machine, command, output);
  if (exitCode === 0) return;
  const show = 'Show Output';
  const message = `niia: on ${machine.name}, ${command} ended with exit code ${exitCode}.`;
  void window.showWarningMessage(message, show).then((answer) => answer === show && output.show(true));
}

async function run(
  { connection }: Services,
  machine: MachineInfo,
  command: string,
  output: OutputChannel,
): Promise<number> {
  const peer = await connection.whenConnected(AbortSignal.timeout(graceMs));
  output.appendLine(`— ${moment(new Date().toISOString(), new Date())} ${machine.name} $ ${command}`);
  let endsLine = true;
  const write = (text: string): void => {
    endsLine = text.endsWith('\n');
    output.append(text);
  };
  const close = (how: string): void => output.appendLine(`${endsLine ? '' : '\n'}— ${machine.name}: ${how}\n`);
  const writers = [new PacedWriter({ write, ...pace }), new PacedWriter({ write, ...pace })] as const;
  const progress = { location: ProgressLocation.Notification, title: `${machine.name}: ${command}`, cancellable: true };
  try {
    return await window.withProgress(progress, async (_, token) => {
      const call = typedCall(peer, 'machine.ask', { command }, { to: machine.id, key: newKey() });
      const sources = [call.source(streams.output), call.source(streams.errors)] as const;
      sources[0].onData((bytes) => writers[0].push(bytes));
      sources[1].onData((bytes) => writers[1].push(bytes));
      let ending: NodeJS.Timeout | undefined;
      const cancelling = token.onCancellationRequested(() => {
        call.emit({ type: 'signal', signal: 'SIGINT' });
        ending = setTimeout(() => call.cancel(), graceMs);
      });
      try {
        const { exitCode, signal, durationMs } = await call.result;
        await Promise.all(sources.map((source) => source.done));
        for (const writer of writers) writer.flush();
        const code = exitCode ?? (signal ? signalExitCode(signal) : 1);
        close(`exit code ${code}${signal ? ` (${signal})` : ''} after ${(durationMs / 1000).toFixed(1)} s`);
        return code;
      } finally {
        clearTimeout(ending);
        cancelling.dispose();
      }
    });
  } catch (error) {
    for (const writer of writers) writer.flush();
    close(NiiaError.from(error).message);
    throw error;
  } finally {
    for (const writer of writers) writer.dispose();
  }
}

/** An input box with the last command in it, chosen so that typing replaces it, and a button for the ones before. */
async function askForCommand(machine: MachineInfo, state: Memento): Promise<string | undefined> {
  const history = remembered(state.get(historyKey));
  const title = `niia: Ask ${machine.name}`;
  const older: QuickInputButton = { iconPath: new ThemeIcon('history'), tooltip: 'Earlier commands' };
  const box = window.createInputBox();
  box.title = title;
  box.prompt = `Which command shall the shell of ${machine.name} run?`;
  box.placeholder = 'git status';
  box.value = history[0] ?? '';
  box.ignoreFocusOut = true;
  box.buttons = history.length > 1 ? [older] : [];
  try {
    for (;;) {
      const answer = await new Promise<{ command: string | undefined } | 'older'>((resolve) => {
        box.onDidAccept(() => resolve({ command: box.value.trim() }));
        box.onDidHide(() => resolve({ command: undefined }));
        box.onDidTriggerButton(() => resolve('older'));
        box.show();
      });
      if (answer !== 'older') return answer.command;
      const earlier = await window.showQuickPick(history, { title, placeHolder: 'Which of the earlier commands?' });
      if (earlier !== undefined) box.value = earlier;
    }
  } finally {
    box.dispose();
  }
}
