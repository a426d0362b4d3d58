import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LogFile } from '../../../daemon/home/log-file.ts';

let folder: string;
let path: string;
let fd: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'niia-log-'));
  path = join(folder, 'daemon.log');
  fd = openSync(path, 'a', 0o600);
});
afterEach(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true, force: true });
});

const line = (number: number) => `line ${number}\n`;
const text = (name: string) => readFileSync(join(folder, name), 'utf8');

describe('a log', () => {
  test('has at most its size and that of the one before, and the last lines are whole and in order', () => {
    const log = new LogFile(path, fd, 1_600);
    for (let number = 0; number < 2_000; number++) log.write(line(number));
    expect(readdirSync(folder).sort()).toEqual(['daemon.log', 'daemon.log.1']);
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).size).toBeLessThan(1_800);
    const kept = (text('daemon.log.1') + text('daemon.log')).trimEnd().split('\n');
    const first = 2_000 - kept.length;
    expect(kept).toEqual(kept.map((_, at) => `line ${first + at}`));
    expect(kept.length).toBeGreaterThan(150);
    expect(statSync(`${path}.1`).mode & 0o777).toBe(0o600);
  });

  test('loses no line of another process that appends to it as well', () => {
    const other = openSync(path, 'a');
    try {
      const log = new LogFile(path, fd, 3_000);
      for (let number = 0; number < 200; number++) {
        log.write(line(number));
        writeSync(other, `other ${number}\n`);
      }
    } finally {
      closeSync(other);
    }
    const kept = text('daemon.log.1') + text('daemon.log');
    for (const who of ['line', 'other']) {
      for (let number = 0; number < 200; number++) expect(kept).toContain(`${who} ${number}\n`);
    }
  });

  test('that grew too large before this process is rotated at its start', () => {
    writeSync(fd, 'x'.repeat(2_000));
    const log = new LogFile(path, fd, 1_600);
    log.write('first\n');
    expect(text('daemon.log')).toBe('first\n');
    expect(text('daemon.log.1')).toHaveLength(2_000);
  });

  test('counts the lines that a full disk does not take, and tells of them later', () => {
    const full = openSync('/dev/full', 'a');
    const log = new LogFile('/dev/full', full);
    log.write('lost\n');
    log.write('lost as well\n');
    // The disk has room again: the descriptor now stands for the file.
    closeSync(full);
    const again = openSync(path, 'a');
    expect(again).toBe(full);
    log.write('kept\n');
    closeSync(again);
    expect(text('daemon.log')).toMatch(/ warn log: 2 lines were lost\nkept\n$/);
  });
});
