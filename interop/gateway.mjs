// One `mcplex serve`: its configuration, its address, its end.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Watch, ended, kill, start, until } from './processes.mjs';

const text = (value) => JSON.stringify(value); // a JSON string is a TOML basic string

let files = 0;

/** Writes a configuration file with these servers and further lines; gives its path. */
export function configuration(world, servers, more = []) {
  const name = `interop-${(files += 1)}`;
  const file = join(world.root, `${name}.toml`);
  const lines = ['[gateway]', 'listen = "127.0.0.1:0"', `name = ${text(name)}`, '', ...more];
  for (const [server, { command, args, env, url }] of Object.entries(servers)) {
    lines.push('', '[[servers]]', `name = ${text(server)}`);
    if (url) lines.push(`url = ${text(url)}`);
    else lines.push(`command = ${text(command)}`, `args = ${text(args)}`);
    if (env) lines.push(`env = { ${Object.entries(env).map(([key, value]) => `${key} = ${text(value)}`).join(', ')} }`);
  }
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

const LISTEN_LIMIT = 10_000;
const DRAIN_LIMIT = 20_000;
const END_LIMIT = 10_000;

// When a run is interrupted, what it started ends with it.
const running = new Set();
process.once('exit', () => running.forEach((child) => child.kill('SIGTERM')));

export class Gateway {
  constructor(mcplex, file) {
    this.job = start(mcplex, ['serve', '-c', file, '--listen', '127.0.0.1:0']);
    this.watch = new Watch(this.job.pid, 'mcp-telegram', 50);
    running.add(this.job.child);
  }

  /** The endpoint that it prints, or null. */
  url() {
    return until(LISTEN_LIMIT, () => this.job.err.match(/http:\/\/127\.0\.0\.1:\d+\/mcp/)?.[0]);
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
    if (!end) kill([{ pid: this.job.pid }]);
    running.delete(this.job.child);
    const leftovers = await this.watch.leftovers(END_LIMIT);
    kill(leftovers);
    if (!end) return `it did not end within ${DRAIN_LIMIT / 1000} s`;
    if (end.code !== 0) return `it ended with ${end.failed ?? end.signal ?? end.code}: ${this.end()}`;
    return leftovers.length > 0 ? `left: ${leftovers.map((row) => `${row.pid} ${row.command}`).join(', ')}` : null;
  }
}
