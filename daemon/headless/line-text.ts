/** Longer lines are cut here, so that nobody holds or searches a line without bound. Characters. */
const longestLine = 4096;
const longestEscape = 4096;

type State = 'text' | 'escape' | 'intermediate' | 'control' | 'string' | 'string-escape';

/**
 * Terminal output as lines of text: escape sequences are taken out, also those that are cut in two between chunks, as
 * are characters. A move of the cursor to elsewhere ends a line; a move to the right leaves blanks.
 */
export class LineText {
  readonly #decoder = new TextDecoder('utf-8');
  #state: State = 'text';
  #parameters = '';
  #skipped = 0;
  #line = '';
  #lines: string[] = [];

  /** Text after the last line's end: a prompt, say. */
  get rest(): string {
    return this.#line;
  }

  /** Adds output; returns the lines that it completed. */
  add(bytes: Uint8Array): string[] {
    for (const character of this.#decoder.decode(bytes, { stream: true })) this.#take(character);
    return this.#lines.splice(0);
  }

  #take(character: string): void {
    switch (this.#state) {
      case 'text':
        this.#text(character);
        return;
      case 'escape':
        this.#escape(character);
        return;
      case 'intermediate':
        if (character < ' ' || character > '/') this.#state = 'text';
        return;
      case 'control':
        this.#control(character);
        return;
      case 'string':
        // Ends with BEL or ESC \; one that never ends is not one.
        if (character === '\x07' || ++this.#skipped > longestEscape) this.#state = 'text';
        else if (character === '\x1b') this.#state = 'string-escape';
        return;
      case 'string-escape':
        if (character === '\\') this.#state = 'text';
        else this.#escape(character);
    }
  }

  #text(character: string): void {
    if (character === '\x1b') this.#state = 'escape';
    else if (character === '\n' || character === '\r' || character === '\v' || character === '\f') this.#endLine();
    else if (character === '\b') this.#line = this.#line.slice(0, -1);
    else if (character === '\t' || (character >= ' ' && character !== '\x7f')) this.#write(character);
  }

  #escape(character: string): void {
    if (character === '[') {
      this.#state = 'control';
      this.#parameters = '';
    } else if (character === ']' || character === 'P' || character === '_' || character === '^' || character === 'X') {
      this.#state = 'string';
      this.#skipped = 0;
    } else if (character === '\x1b') {
      this.#state = 'escape';
    } else {
      this.#state = character >= ' ' && character <= '/' ? 'intermediate' : 'text';
    }
  }

  #control(character: string): void {
    if (character === '\x1b') {
      this.#state = 'escape';
    } else if (character >= '@' && character <= '~') {
      this.#state = 'text';
      if (character === 'C') {
        const count = Math.min(Number.parseInt(this.#parameters, 10) || 1, longestLine);
        this.#write(' '.repeat(count));
      } else if ('ABEFGHdf'.includes(character)) {
        this.#endLine();
      }
    } else if (this.#parameters.length >= longestEscape) {
      this.#state = 'text';
    } else {
      this.#parameters += character;
    }
  }

  #write(text: string): void {
    this.#line += text;
    if (this.#line.length >= longestLine) this.#endLine();
  }

  #endLine(): void {
    if (this.#line !== '') this.#lines.push(this.#line);
    this.#line = '';
  }
}
