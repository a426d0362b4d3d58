// A worker for the bench: a terminal program with an input box and bracketed paste, as AI command-line workers are, that
// appends each prompt that is submitted to the file it is given, one JSON string a line. Like them it says its state by
// OSC 7501, redraws at its own pace, and takes what comes in its own time.
import { appendFileSync } from 'node:fs';
import { setTimeout as after } from 'node:timers/promises';

const file = process.argv[2] ?? '';
const write = (/** @type {string} */ text) => process.stdout.write(text);
const state = (/** @type {string} */ word) => write(`\x1b]7501;state=${word}\x07`);

let box = '';
let busy = false;

function draw() {
  const status = busy ? '• Working (0s • esc to interrupt)' : '';
  write(`\x1b[H\x1b[2J${status}\r\n\r\n› ${box.replaceAll('\n', '\r\n  ')}`);
}

async function submit() {
  const prompt = box;
  box = '';
  busy = true;
  state('working');
  draw();
  appendFileSync(file, `${JSON.stringify(prompt)}\n`);
  await after(5 + Math.random() * 40);
  busy = false;
  draw();
  state('done');
}

let pasting = false;
let held = '';

/** @param {string} text */
async function take(text) {
  held += text;
  for (;;) {
    const mark = pasting ? '\x1b[201~' : '\x1b[200~';
    const at = held.indexOf(mark);
    const part = at < 0 ? held : held.slice(0, at);
    // A mark may come in two pieces.
    const cut = at < 0 ? part.lastIndexOf('\x1b') : -1;
    const whole = cut < 0 ? part : part.slice(0, cut);
    held = held.slice(whole.length);
    if (pasting) box += whole.replaceAll('\r', '\n');
    else await typed(whole);
    if (at < 0) break;
    held = held.slice(mark.length);
    pasting = !pasting;
  }
  draw();
}

/** @param {string} keys */
async function typed(keys) {
  for (const key of keys) {
    if (key === '\r') await submit();
    else if (key >= ' ') box += key;
  }
}

process.stdin.setRawMode(true);
process.stdin.setEncoding('utf8');
write('\x1b[?2004h');
draw();
state('done');
let turn = Promise.resolve();
process.stdin.on('data', (/** @type {string} */ text) => {
  turn = turn.then(() => take(text));
});
