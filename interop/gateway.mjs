// One `mcplex serve`: its configuration, its address, its end.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recorded } from '../conformance/record/pipe.mjs';
import { Proxy } from '../conformance/record/proxy.mjs';
import { Watch, ended, kill, start, until } from './processes.mjs';

const text = (value) => JSON.stringify(value); // a JSON string is a TOML basic string

let files = 0;

/**
 * Writes a configuration file with these servers and further lines; gives its path. With `records`
 * all that is said to a server is written down, but to those that are `isUnwatched`.
 */
export function configuration(world, servers, more = [], records = null) {
  const name = `interop-${(files += 1)}`;
  const file = join(world.root, `${name}.toml`);
  const lines = ['[gateway]', 'listen = "127.0.0.1:0"', `name = ${text(name)}`, '', ...more];
  for (const [server, { isUnwatched, env, url, ...plain }] of Object.entries(servers)) {
    lines.push('', '[[servers]]', `name = ${text(server)}`);
    if (url) lines.push(`url = ${text(url)}`);
    else {
      const { command, args } = records && !isUnwatched ? watched(records(server), 'client', plain) : plain;
      lines.push(`command = ${text(command)}`, `args = ${text(args)}`);
    }
    if (env) lines.push(`env = { ${Object.entries(env).map(([key, value]) => `${key} = ${text(value)}`).join(', ')} }`);
  }
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** A command with somebody in front who writes down what is said; `judged` is the side of mcplex. */
export function watched(file, judged, { command, args }) {
  const [first, ...rest] = recorded(file, judged, [command, ...args]);
  return { command: first, args: rest };
}

const LISTEN_LIMIT = 10_000;
const DRAIN_LIMIT = 20_000;
const END_LIMIT = 10_000;

// When a run is interrupted, what it started ends with it.
const running = new Set();
process.once('exit', () => running.forEach((child) => child.kill('SIGTERM')));

export class Gateway {
  #proxy = null;

  constructor(mcplex, file, records = null) {
    this.records = records;
    this.job = start(mcplex, ['serve', '-c', file, '--listen', '127.0.0.1:0']);
    this.watch = new Watch(this.job.pid, 'mcp-telegram', 50);
    running.add(this.job.child);
  }

  /** The endpoint that it prints, or null. */
  async url() {
    const url = await until(LISTEN_LIMIT, () => this.job.err.match(/http:\/\/127\.0\.0\.1:\d+\/mcp/)?.[0]);
    if (!url || !this.records) return url;
    this.#proxy = await Proxy.open(url, this.records('client'), 'server');
    return this.#proxy.url;
  }

  /** The last words of its stderr. */
  end() {
    return this.job.err.trim().slice(-600);
  }

  /** Ends it as an operator does; says what went wrong, or null. */
  async stop() {
    this.watch.look();
    this.job.child.kill('SIGTERM');
    const end = await ended(this.job, DRAIN_LIMIT);
    this.#proxy?.stop();
    if (!end) kill([{ pid: this.job.pid }]);
    running.delete(this.job.child);
    const leftovers = await this.watch.leftovers(END_LIMIT);
    kill(leftovers);
    if (!end) return `it did not end within ${DRAIN_LIMIT / 1000} s`;
    if (end.code !== 0) return `it ended with ${end.failed ?? end.signal ?? end.code}: ${this.end()}`;
    return leftovers.length > 0 ? `left: ${leftovers.map((row) => `${row.pid} ${row.command}`).join(', ')}` : null;
  }
}
