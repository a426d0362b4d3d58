import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from './browser.ts';
import { type CodeServerOptions, RunningCodeServer } from './code-server.ts';
import { Messages } from './messages.ts';
import { OutputChannel } from './output-channel.ts';
import { QuickInput } from './quick-input.ts';
import { Terminals } from './terminals.ts';
import { readable } from './text.ts';
import { TreeView } from './tree-view.ts';
import { patienceMs, until } from './until.ts';

export interface WorkbenchOptions extends CodeServerOptions {
  /** The folder to open; a new empty one unless given. */
  folder?: string;
}

const ARTIFACTS = fileURLToPath(new URL('../artifacts/', import.meta.url));
const LOAD_TIMEOUT_MS = 60_000;

/** A window of a real VS Code with settings, extensions and storage of its own, as a person would use it. */
export class Workbench {
  readonly quickInput: QuickInput;
  readonly terminals: Terminals;
  readonly messages: Messages;
  private readonly console: string[] = [];

  private constructor(
    readonly server: RunningCodeServer,
    private readonly browser: Browser,
    readonly page: Page,
    readonly folder: string,
  ) {
    this.quickInput = new QuickInput(page);
    this.terminals = new Terminals(page, this.quickInput);
    this.messages = new Messages(page);
    page.on('console', (message) => this.console.push(`${message.type()} ${message.text()}`));
    page.on('pageerror', (error) => this.console.push(`uncaught ${error.stack ?? error.message}`));
  }

  static async start(options: WorkbenchOptions = {}): Promise<Workbench> {
    const server = await RunningCodeServer.start(options);
    let browser: Browser | undefined;
    try {
      browser = await launchBrowser(server.processes.env);
      const page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
      const folder = options.folder ?? (await mkdtemp(path.join(server.folder, 'workspace-')));
      const workbench = new Workbench(server, browser, page, folder);
      await workbench.openWindow();
      return workbench;
    } catch (error) {
      await browser?.close();
      await server.close();
      throw error;
    }
  }

  /** Runs a command by its id or its full label in the palette ("niia: Refresh"). */
  async runCommand(idOrLabel: string): Promise<void> {
    await this.quickInput.runCommand(idOrLabel);
  }

  /** Opens the container of a view and focuses the view, by its id. */
  async openView(id: string): Promise<void> {
    await this.runCommand(`${id}.focus`);
  }

  /** A tree view by its title. */
  tree(title: string): TreeView {
    return new TreeView(this.page, title);
  }

  output(name: string): OutputChannel {
    return new OutputChannel(name, this.server.userData, this.quickInput);
  }

  /** Text of a status bar entry, by "publisher.extension.item"; undefined where it is not shown. */
  async statusBarText(id: string): Promise<string | undefined> {
    const [text] = await this.page.locator(`.part.statusbar [id=${JSON.stringify(id)}]:visible`).allTextContents();
    return text === undefined ? undefined : readable(text);
  }

  async waitForStatusBar(id: string, text: RegExp, timeoutMs = patienceMs): Promise<void> {
    const look = async () => text.test((await this.statusBarText(id)) ?? '');
    await until(`${text} in the status bar's ${id}`, look, { timeoutMs, found: () => this.statusBarText(id) });
  }

  /** Leaves the window, as closing the tab does. The browser keeps the editor's storage, `workspaceState` included. */
  async closeWindow(): Promise<void> {
    await this.page.goto('about:blank');
  }

  async openWindow(folder = this.folder): Promise<void> {
    await this.page.goto(this.server.url(folder), { timeout: LOAD_TIMEOUT_MS });
    await this.loaded();
  }

  async reload(): Promise<void> {
    await this.page.reload({ timeout: LOAD_TIMEOUT_MS });
    await this.loaded();
  }

  /** Writes test/artifacts/NAME.png and returns its path. */
  async screenshot(name: string): Promise<string> {
    const file = path.join(ARTIFACTS, `${name}.png`);
    await this.page.screenshot({ path: file });
    return file;
  }

  /** Writes test/artifacts/NAME.png and NAME.log, with what the server and the browser said. */
  async recordFailure(name: string): Promise<void> {
    await mkdir(ARTIFACTS, { recursive: true });
    const parts = ['== server', this.server.output, '== browser', ...this.console];
    await writeFile(path.join(ARTIFACTS, `${name}.log`), parts.join('\n'));
    await this.screenshot(name);
  }

  /** @throws {Error} that names every process that outlived the window and the server */
  async close(): Promise<void> {
    try {
      await this.browser.close();
    } finally {
      await this.server.close();
    }
  }

  private async loaded(): Promise<void> {
    await this.page
      .locator('.monaco-workbench .part.statusbar .statusbar-item')
      .first()
      .waitFor({ timeout: LOAD_TIMEOUT_MS });
  }
}

/** Runs a test in a workbench of its own, keeps a picture and the logs where it fails, and closes in any case. */
export async function withWorkbench(
  name: string,
  options: WorkbenchOptions,
  test: (workbench: Workbench) => Promise<void>,
): Promise<void> {
  const workbench = await Workbench.start(options);
  const problems: unknown[] = [];
  const attempt = async (step: () => Promise<void>) => {
    try {
      await step();
    } catch (error) {
      problems.push(error);
    }
  };
  await attempt(() => test(workbench));
  if (problems.length > 0) await attempt(() => workbench.recordFailure(`${name}-failed`));
  await attempt(() => workbench.close());
  if (problems.length === 1) throw problems[0];
  if (problems.length > 1) throw new AggregateError(problems, problems.map(String).join('\n'));
}
