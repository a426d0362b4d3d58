import type { Page } from 'playwright-core';
import { readable } from './text.ts';
import { patienceMs, until } from './until.ts';

export interface Message {
  severity: 'info' | 'warning' | 'error' | 'progress';
  text: string;
  buttons: string[];
}

const TOAST = '.notifications-toasts .notification-list-item';
const DIALOG = '.monaco-dialog-box';

/** What the editor tells and asks: notifications at the corner and modal dialogs. */
export class Messages {
  constructor(private readonly page: Page) {}

  /** The notifications on the screen. One without buttons leaves by itself after some seconds. */
  async notifications(): Promise<Message[]> {
    const raw = await this.page.locator(TOAST).evaluateAll((items) =>
      items.map((item) => ({
        icon: item.querySelector('.notification-list-item-icon')?.className ?? '',
        text: item.querySelector('.notification-list-item-message')?.textContent ?? '',
        buttons: [...item.querySelectorAll('.monaco-button')].map((button) => button.textContent ?? ''),
      })),
    );
    return raw.map(({ icon, text, buttons }) => ({
      severity: severityOf(icon),
      text: readable(text),
      buttons: buttons.map(readable),
    }));
  }

  async waitForNotification(text: RegExp, timeoutMs = patienceMs): Promise<Message> {
    const look = async () => (await this.notifications()).find((each) => text.test(each.text));
    return until(`a notification ${text}`, look, { timeoutMs, found: () => this.notifications() });
  }

  async answerNotification(text: RegExp, button: string): Promise<void> {
    await this.waitForNotification(text);
    await this.page
      .locator(TOAST, { hasText: text })
      .first()
      .getByRole('button', { name: button, exact: true })
      .click();
  }

  /** Waits for a modal dialog; its message and detail, on a line each. */
  async waitForDialog(): Promise<string> {
    const dialog = this.page.locator(DIALOG);
    await dialog.waitFor();
    return (await dialog.locator('.dialog-message-text, .dialog-message-detail').allTextContents())
      .map(readable)
      .join('\n');
  }

  async answerDialog(button: string): Promise<void> {
    const dialog = this.page.locator(DIALOG);
    await dialog.locator('.dialog-buttons').getByRole('button', { name: button, exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
  }
}

function severityOf(icon: string): Message['severity'] {
  for (const severity of ['info', 'warning', 'error'] as const) {
    if (icon.includes(`codicon-${severity}`)) return severity;
  }
  return 'progress';
}
