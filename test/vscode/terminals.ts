import type { Page } from 'playwright-core';
import type { QuickInput } from './quick-input.ts';
import { labelled, matches, readable, type TextPattern } from './text.ts';
import { patienceMs, until } from './until.ts';

const ACTIVE = '.terminal-wrapper.active';
const TAB = '.terminal-tabs-entry.has-text';

/** The terminals of the panel. */
export class Terminals {
  constructor(
    private readonly page: Page,
    private readonly quickInput: QuickInput,
  ) {}

  /** From top to bottom. */
  async names(): Promise<string[]> {
    return (await this.page.locator(TAB).allTextContents()).map(readable);
  }

  /** What the active one shows, without trailing blanks and empty lines; undefined where none is visible. */
  async text(): Promise<string | undefined> {
    const rows = await this.page.locator(`${ACTIVE} .xterm-rows:visible > div`).allTextContents();
    if (rows.length === 0) return undefined;
    return rows
      .map((row) => row.replaceAll('\u00a0', ' ').trimEnd())
      .join('\n')
      .trimEnd();
  }

  /** Waits for the active one to show this and returns all that it shows. Mind that typed input is echoed. */
  async waitForText(part: string | RegExp, timeoutMs = patienceMs): Promise<string> {
    const look = async () => {
      const text = await this.text();
      return text !== undefined && (typeof part === 'string' ? text.includes(part) : part.test(text)) && { text };
    };
    const { text } = await until(`${part} in the terminal`, look, { timeoutMs, found: () => this.text() });
    return text;
  }

  /** Types into the active one, key by key; "\n" is Enter. */
  async type(text: string): Promise<void> {
    await this.page.locator(`${ACTIVE} .xterm-helper-textarea`).focus();
    await this.page.keyboard.type(text);
  }

  /** Presses a key in the active one, by Playwright's name ("Control+C"). */
  async press(key: string): Promise<void> {
    await this.page.locator(`${ACTIVE} .xterm-helper-textarea`).press(key);
  }

  /** Reveals the panel: a terminal that was made by a profile does not. */
  async focus(): Promise<void> {
    await this.quickInput.runCommand('workbench.action.terminal.focus');
    await this.page.locator(`${ACTIVE} .xterm-helper-textarea`).waitFor({ state: 'attached' });
  }

  /** Makes a terminal by a contributed profile, by the profile's title. */
  async createWithProfile(title: string): Promise<void> {
    // Contributed profiles are collected once, and in about half of fresh starts before the extensions are known;
    // asking for the default profile collects them again.
    const offered = async () => {
      await this.quickInput.runCommand('workbench.action.terminal.selectDefaultShell');
      await this.quickInput.offers(title, 3_000);
      await this.quickInput.dismiss();
      await this.quickInput.runCommand('workbench.action.terminal.newWithProfile');
      if (await this.quickInput.offers(title, 3_000)) return true;
      await this.quickInput.dismiss();
      return false;
    };
    await until(`the profile ${title}`, offered, { timeoutMs: 60_000 });
    await this.quickInput.choose(title);
  }

  async select(name: TextPattern): Promise<void> {
    await (await this.tab(name)).click();
  }

  /** What a person does who clicks on the bin at the terminal's tab. */
  async kill(name: TextPattern): Promise<void> {
    const tab = await this.tab(name);
    await tab.hover();
    await tab.locator(`.action-label${labelled('Kill')}`).click();
  }

  private async tab(name: TextPattern) {
    const { index } = await until(
      `a terminal ${name}`,
      async () => {
        const found = (await this.names()).findIndex((each) => matches(each, name));
        return found >= 0 && { index: found };
      },
      { found: () => this.names() },
    );
    return this.page.locator(TAB).nth(index);
  }
}
