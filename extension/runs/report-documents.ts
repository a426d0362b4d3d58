import * as v from 'valibot';
import type { Event, TextDocumentContentProvider } from 'vscode';
import { EventEmitter, Uri, workspace } from 'vscode';
import { answersWithinMs } from '../../shared/ask-machines.ts';
import { runReportSchema } from '../../shared/protocol/run-methods.ts';
import { typedCall } from '../../shared/rpc/client.ts';
import { jsonStream } from '../../shared/rpc/json-stream.ts';
import type { DaemonConnection } from '../connection.ts';
import type { Disposable } from '../emitter.ts';
import { disposeAll } from '../emitter.ts';
import type { RunsModel } from './runs-model.ts';

const scheme = 'niia-report';

/** Reports of runs as documents, which nobody can write into. */
export class ReportDocuments implements TextDocumentContentProvider, Disposable {
  readonly #connection: DaemonConnection;
  readonly #runs: RunsModel;
  readonly #changed = new EventEmitter<Uri>();
  readonly #disposables: Disposable[];

  readonly onDidChange: Event<Uri> = this.#changed.event;

  constructor(connection: DaemonConnection, runs: RunsModel) {
    this.#connection = connection;
    this.#runs = runs;
    this.#disposables = [this.#changed, workspace.registerTextDocumentContentProvider(scheme, this)];
  }

  uriOf(run: string): Uri {
    return Uri.from({ scheme, path: `/${run}.md`, query: run });
  }

  /** What is open of it is asked for again. */
  renew(uri: Uri): void {
    this.#changed.fire(uri);
  }

  async provideTextDocumentContent({ query: run }: Uri): Promise<string> {
    const at = (this.#runs.run(run) ?? (await this.#runs.look()).find((one) => one.run === run))?.at;
    const peer = await this.#connection.whenConnected(AbortSignal.timeout(answersWithinMs));
    const call = typedCall(peer, 'run.report', { run }, { to: at, deadlineMs: answersWithinMs });
    return v.parse(runReportSchema, await jsonStream(call)).markdown;
  }

  dispose(): void {
    disposeAll(this.#disposables);
  }
}
