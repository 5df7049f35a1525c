// Records what mcplex and its peers say to each other, for `mcplex-judge` to read:
// one line of JSON for each message, written before the message goes on.

import { mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Longer lines are no message that anybody here says. */
const MAX_LINE = 64 << 20;

/** What was said in one place; `judged` is the side that mcplex is on there. */
export class Record {
  #file;
  #judged;

  constructor(file, judged) {
    mkdirSync(dirname(file), { recursive: true });
    this.#file = openSync(file, 'a');
    this.#judged = judged;
  }

  /** What `side` said on a connection: a message, or a batch. */
  say(connection, side, text) {
    if (text.trim() === '') return;
    // One write for each line, because the lives of a server append to the same file.
    writeSync(this.#file, `${JSON.stringify({ connection: String(connection), judged: this.#judged, side, text })}\n`);
  }
}

let places = 0;

/** Where the records of a run go, one file for each place; null when none are wanted. */
export function recordsIn(folder) {
  if (!folder) return null;
  return (place) => join(folder, `${process.pid}-${(places += 1)}-${place}.jsonl`);
}

/** Gives each line of a stream to `line`, whatever the pieces are that it comes in. */
export function lines(line) {
  let held = [];
  let size = 0;
  return (piece) => {
    for (let from = 0; ; ) {
      const end = piece.indexOf(0x0a, from);
      const part = piece.subarray(from, end < 0 ? piece.length : end);
      held.push(part);
      size += part.length;
      if (size > MAX_LINE) throw new Error('a line without an end');
      if (end < 0) return;
      line(Buffer.concat(held).toString('utf8'));
      [held, size, from] = [[], 0, end + 1];
    }
  };
}

/** Gives each event of a stream of events to `event`, with its name, id and data. */
export function events(event) {
  let [name, id, data] = ['message', null, []];
  return lines((text) => {
    const line = text.replace(/\r$/, '');
    if (line === '') {
      if (data.length > 0) event({ name, id, data: data.join('\n') });
      [name, id, data] = ['message', null, []];
      return;
    }
    const [, field, value] = line.match(/^([^:]*):? ?(.*)$/s);
    if (field === 'data') data.push(value);
    else if (field === 'event') name = value;
    else if (field === 'id') id = value;
  });
}
