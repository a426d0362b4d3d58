import { basename } from 'node:path';
import type { TextDocument } from 'vscode';
import { ProgressLocation, Uri, window, workspace } from 'vscode';
import type { MissingInput } from '../../shared/connector/resolve.ts';
import { NiiaError } from '../../shared/errors.ts';
import { startingMachine } from '../../shared/runs/starting-machine.ts';
import type { CheckedConnector } from '../runs/check-connector.ts';
import { rangeOf } from '../runs/connector-problems.ts';
import type { Services } from '../services.ts';

const fileName = /(^|[.])connector[.]json$/;
const pattern = '**/{connector,*.connector}.json';

/** Runs a connector file: the one pointed at, else the active editor's, else one that is chosen. */
export async function runConnector(services: Services, argument: unknown): Promise<void> {
  if (!workspace.isTrusted) {
    throw new NiiaError(
      'denied',
      'connector files run commands, and this workspace is not trusted',
      'Look into it first; then: Workspaces: Manage Workspace Trust.',
    );
  }
  const uri = argument instanceof Uri ? argument : (activeFile() ?? (await chooseFile()));
  if (!uri) return;
  const document = await saved(uri);
  const checked = await check(document);
  const { errors, notYet, missing, coordinators } = checked;
  services.problems.show(document, checked);
  if (errors.length > 0) return await showErrors(document, errors);
  const name = basename(uri.fsPath);
  if (notYet !== undefined)
    throw new NiiaError('not_yet', `${name}: ${notYet}`, 'What runs: pipelines, and dialogues.');
  const inputs = await askForInputs(name, missing);
  if (!inputs) return;
  const { connection, runs } = services;
  const progress = { location: ProgressLocation.Window, title: `Starting ${name}` };
  const run = await window.withProgress(progress, async () => {
    const { machines } = await connection.ask('machine.list', {});
    const options = { to: startingMachine(coordinators, machines), body: new TextEncoder().encode(document.getText()) };
    const started = await connection.change('run.start', { file: uri.fsPath, inputs }, options);
    await runs.look();
    return started.run;
  });
  await services.revealRun(run);
}

/** What can be said of a connector file as the editor has it. */
export async function check(document: TextDocument): Promise<CheckedConnector> {
  const { checkConnector } = await import('../runs/check-connector.ts');
  return checkConnector(document.getText(), document.uri.fsPath);
}

function activeFile(): Uri | undefined {
  const uri = window.activeTextEditor?.document.uri;
  return uri && fileName.test(basename(uri.path)) ? uri : undefined;
}

async function chooseFile(): Promise<Uri | undefined> {
  const title = 'niia: Run a Connector File';
  const found = await workspace.findFiles(pattern, '**/node_modules/**');
  const files = found
    .map((uri) => ({ label: workspace.asRelativePath(uri), uri }))
    .sort((a, b) => a.label.localeCompare(b.label));
  const elsewhere = { label: '$(folder-opened) Another file…', uri: undefined };
  const chosen = await window.showQuickPick([...files, elsewhere], { title, placeHolder: 'Which file?' });
  if (!chosen || chosen.uri) return chosen?.uri;
  return (await window.showOpenDialog({ title, filters: { 'Connector files': ['json'] } }))?.[0];
}

/** Its document, with nothing unsaved: whoever works on the run reads the file as well. */
async function saved(uri: Uri): Promise<TextDocument> {
  if (uri.scheme !== 'file') {
    throw new NiiaError('usage', `${uri.path} is no file on this machine's disk: save it there first`);
  }
  const document = await workspace.openTextDocument(uri);
  if (!document.isDirty || (await document.save())) return document;
  throw new NiiaError('cancelled', `${basename(uri.fsPath)} was not saved`);
}

async function showErrors(document: TextDocument, errors: CheckedConnector['errors']): Promise<void> {
  const [first] = errors;
  if (!first) return;
  await window.showTextDocument(document, { selection: rangeOf(document, first) });
  const more = errors.length === 1 ? '' : ` And ${errors.length - 1} more: see Problems.`;
  const where = `${basename(document.uri.fsPath)}:${first.line}:${first.column}`;
  throw new NiiaError('usage', `${where}: ${first.message}`, more.trim());
}

/** A value for each input that must be given; undefined where the person gave up. */
async function askForInputs(
  file: string,
  missing: readonly MissingInput[],
): Promise<Record<string, string> | undefined> {
  const inputs: Record<string, string> = {};
  for (const [at, { name, description }] of missing.entries()) {
    const value = await window.showInputBox({
      title: `niia: Run ${file}${missing.length > 1 ? ` (${at + 1}/${missing.length})` : ''}`,
      prompt: description ?? `The input "${name}"`,
      placeHolder: name,
      ignoreFocusOut: true,
    });
    if (value === undefined) return undefined;
    inputs[name] = value;
  }
  return inputs;
}
