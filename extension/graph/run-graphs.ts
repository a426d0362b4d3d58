import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import type { WebviewPanel } from 'vscode';
import { commands, Uri, ViewColumn, window } from 'vscode';
import type { CommandId } from '../command-ids.ts';
import type { Disposable } from '../emitter.ts';
import { disposeAll } from '../emitter.ts';
import type { RunsModel, ShownRun } from '../runs/runs-model.ts';
import { graphView, pageMessageSchema } from './graph-view.ts';
import { graphPage } from './page.ts';

const openCommand: CommandId = 'niia.runOpenTerminal';

/** The graphs of runs that are open in this window, one for each run. */
export class RunGraphs implements Disposable {
  readonly #runs: RunsModel;
  readonly #media: Uri;
  /** Told of what could not be shown. */
  readonly #failed: (error: unknown) => void;
  readonly #panels = new Map<string, WebviewPanel>();

  constructor(runs: RunsModel, extension: Uri, failed: (error: unknown) => void) {
    this.#runs = runs;
    this.#media = Uri.joinPath(extension, 'extension', 'media');
    this.#failed = failed;
  }

  show({ run, name }: ShownRun): void {
    const known = this.#panels.get(run);
    if (known) {
      known.reveal();
      return;
    }
    const title = `Run: ${name}`;
    const panel = window.createWebviewPanel('niia.runGraph', title, ViewColumn.Active, {
      ...{ enableScripts: true, localResourceRoots: [this.#media] },
    });
    this.#panels.set(run, panel);
    const disposables: Disposable[] = [this.#follow(run, panel)];
    panel.onDidDispose(() => {
      this.#panels.delete(run);
      disposeAll(disposables);
    });
    const { webview } = panel;
    const uriOf = (file: string): string => webview.asWebviewUri(Uri.joinPath(this.#media, file)).toString();
    webview.html = graphPage({
      ...{ nonce: randomBytes(16).toString('hex'), cspSource: webview.cspSource, title },
      ...{ script: uriOf('run-graph.js'), style: uriOf('run-graph.css') },
    });
  }

  dispose(): void {
    for (const panel of [...this.#panels.values()]) panel.dispose();
  }

  /** Keeps what is shown in step with the run, while it can be seen. */
  #follow(run: string, panel: WebviewPanel): Disposable {
    let lease: Disposable | undefined;
    let last = '';
    const tell = (): void => {
      const found = this.#runs.run(run);
      if (!found || !lease) return;
      const view = graphView(found, new Date());
      const text = JSON.stringify(view);
      if (text === last) return;
      last = text;
      void panel.webview.postMessage({ type: 'run', view });
    };
    const look = (): void => {
      if (panel.visible && !lease) {
        lease = this.#runs.follow(run);
        last = '';
        tell();
      } else if (!panel.visible) {
        lease?.dispose();
        lease = undefined;
      }
    };
    look();
    if (this.#runs.run(run)?.status === undefined) this.#runs.load(run).catch(this.#failed);
    const disposables: Disposable[] = [
      this.#runs.onDidChange(tell),
      panel.onDidChangeViewState(() => look()),
      panel.webview.onDidReceiveMessage((message: unknown) => {
        const parsed = v.safeParse(pageMessageSchema, message);
        if (!parsed.success) return;
        if (parsed.output.type === 'ready') {
          // A page that was hidden begins anew, and knows nothing.
          last = '';
          tell();
        } else {
          void commands.executeCommand(openCommand, { run, worker: parsed.output.worker });
        }
      }),
      { dispose: () => lease?.dispose() },
    ];
    return { dispose: () => disposeAll(disposables) };
  }
}
