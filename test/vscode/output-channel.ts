import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { QuickInput } from './quick-input.ts';
import { patienceMs, until } from './until.ts';

/**
 * An output channel, by its name. Its text is read from the file that the editor keeps of it: the panel has only the
 * lines on the screen in its DOM.
 */
export class OutputChannel {
  constructor(
    private readonly name: string,
    private readonly userData: string,
    private readonly quickInput: QuickInput,
  ) {}

  /** All that was written since the server's start, over all windows; empty where the channel does not exist yet. */
  async text(): Promise<string> {
    const logs = path.join(this.userData, 'logs');
    const files = (await readdir(logs, { recursive: true })).filter((file) => this.isOurs(path.basename(file)));
    const texts = await Promise.all(files.sort().map((file) => readFile(path.join(logs, file), 'utf8')));
    return texts.join('');
  }

  async waitForText(part: string | RegExp, timeoutMs = patienceMs): Promise<string> {
    const look = async () => {
      const text = await this.text();
      return (typeof part === 'string' ? text.includes(part) : part.test(text)) && { text };
    };
    const { text } = await until(`${part} in the output channel ${this.name}`, look, {
      timeoutMs,
      found: () => this.text(),
    });
    return text;
  }

  /** Shows it in the panel, for a screenshot. */
  async show(): Promise<void> {
    await this.quickInput.runCommand('workbench.action.showOutputChannels');
    await this.quickInput.choose(this.name, { filter: this.name });
  }

  /** A plain channel's file is "1-NAME.log", a log channel's "NAME.log". */
  private isOurs(file: string): boolean {
    const name = this.name.replaceAll(/[\\/:*?"<>|]/g, '');
    return file.endsWith('.log') && file.replace(/^\d+-/, '') === `${name}.log`;
  }
}
