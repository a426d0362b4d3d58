import type { TextDocument } from 'vscode';
import { Diagnostic, DiagnosticSeverity, languages, Position, Range, workspace } from 'vscode';
import type { Problem } from '../../shared/connector/source.ts';
import type { Disposable } from '../emitter.ts';
import { disposeAll } from '../emitter.ts';

type Found = Record<'errors' | 'warnings', readonly Problem[]>;

/** What is wrong with connector files, in the Problems view: from when one was to be run until it is right, or closed. */
export class ConnectorProblems implements Disposable {
  readonly #all = languages.createDiagnosticCollection('niia');
  readonly #check: (document: TextDocument) => Promise<Found>;
  readonly #disposables: Disposable[];

  /** `failed` is told of a check that could not be made. */
  constructor(check: (document: TextDocument) => Promise<Found>, failed: (error: unknown) => void) {
    this.#check = check;
    this.#disposables = [
      this.#all,
      workspace.onDidSaveTextDocument((document) => {
        if (this.#all.has(document.uri)) this.#again(document).catch(failed);
      }),
      workspace.onDidCloseTextDocument(({ uri }) => this.#all.delete(uri)),
    ];
  }

  show(document: TextDocument, { errors, warnings }: Found): void {
    this.#all.set(document.uri, [
      ...errors.map((problem) => diagnostic(document, problem, DiagnosticSeverity.Error)),
      ...warnings.map((problem) => diagnostic(document, problem, DiagnosticSeverity.Warning)),
    ]);
  }

  dispose(): void {
    disposeAll(this.#disposables);
  }

  async #again(document: TextDocument): Promise<void> {
    this.show(document, await this.#check(document));
  }
}

/** From its place to the end of the word that begins there. */
export function rangeOf(document: TextDocument, { line, column }: Problem): Range {
  const start = document.validatePosition(new Position(line - 1, column - 1));
  const word = document.getWordRangeAtPosition(start);
  return new Range(start, word?.end ?? document.lineAt(start.line).range.end);
}

function diagnostic(document: TextDocument, problem: Problem, severity: DiagnosticSeverity): Diagnostic {
  const made = new Diagnostic(rangeOf(document, problem), problem.message, severity);
  made.source = 'niia';
  return made;
}
