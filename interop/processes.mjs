// Starts, watches and ends processes. A process is known by its pid and its
// start time, so that a reused pid is never mistaken for it.

import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls `probe` until it gives something true, or until `ms` are over (null). */
export async function until(ms, probe, every = 100) {
  for (const end = Date.now() + ms; ; await sleep(every)) {
    const value = probe();
    if (value) return value;
    if (Date.now() > end) return null;
  }
}

/** All processes: pid, parent, start time, whether a zombie. */
function table() {
  const rows = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const stat = read(`/proc/${pid}/stat`);
    if (!stat) continue;
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    rows.push({ pid: Number(pid), parent: Number(fields[1]), born: fields[19], zombie: fields[0] === 'Z' });
  }
  return rows;
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process is gone
  }
}

/** Everything below `root`, not `root` itself. */
export function descendants(root) {
  const rows = table();
  const found = [];
  for (let parents = new Set([root]); parents.size > 0; ) {
    const children = rows.filter((row) => parents.has(row.parent));
    found.push(...children);
    parents = new Set(children.map((row) => row.pid));
  }
  return found.map((row) => ({ ...row, command: read(`/proc/${row.pid}/cmdline`).replaceAll('\0', ' ').trim() }));
}

/** Watches the descendants of `root`: all that ever were, and how many of `word` at once. */
export class Watch {
  constructor(root, word, every) {
    this.seen = new Map();
    this.most = 0;
    this.root = root;
    this.word = word;
    this.timer = setInterval(() => this.look(), every);
    this.look();
  }

  look() {
    const now = descendants(this.root);
    // Between fork and exec a child still has its parent's command line; the
    // latest look at a process wins.
    for (const row of now) this.seen.set(`${row.pid}/${row.born}`, row);
    if (this.word) this.most = Math.max(this.most, now.filter((row) => !row.zombie && this.isServer(row)).length);
  }

  spawns() {
    return [...this.seen.values()].filter((row) => this.isServer(row)).length;
  }

  /** A guard names the command of its server too. */
  isServer(row) {
    return row.command.includes(this.word) && !row.command.startsWith('mcplex-guard ');
  }

  /** What is still alive of all that was seen, after at most `ms`. */
  async leftovers(ms) {
    clearInterval(this.timer);
    const alive = () => {
      const now = new Set(table().map((row) => `${row.pid}/${row.born}`));
      return [...this.seen.keys()].filter((key) => now.has(key)).map((key) => this.seen.get(key));
    };
    await until(ms, () => alive().length === 0);
    return alive();
  }
}

/** Ends by force what a check left behind. */
export function kill(rows) {
  for (const { pid } of rows) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // it ended by itself meanwhile
    }
  }
}

const STDERR_BOUND = 4 << 20;

/** A child with collected output; `done` resolves with its end. */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const job = { child, pid: child.pid, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (job.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (job.err = (job.err + text).slice(-STDERR_BOUND)));
  child.stdin.on('error', () => {}); // it died before it read; its end says so
  job.done = new Promise((resolve) => {
    child.on('error', (error) => resolve({ failed: error.message }));
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  return job;
}

/** The end of `job`, or null when `ms` are over. */
export function ended(job, ms) {
  return Promise.race([job.done, sleep(ms).then(() => null)]);
}
