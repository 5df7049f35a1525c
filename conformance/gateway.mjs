// One `mcplex serve` with a single upstream: its configuration, its address, its end.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ended, kill, start, until } from './processes.mjs';
import { recorded } from './record/pipe.mjs';
import { Proxy } from './record/proxy.mjs';

const text = (value) => JSON.stringify(value); // a JSON string is a TOML basic string

const LISTEN_LIMIT = 10_000;
const READY_LIMIT = 15_000;
const LOGIN_LIMIT = 10_000;
const END_LIMIT = 20_000;

/**
 * Names stay as they are, because the suite asks for them, and who lists tools waits for the lists of
 * the upstream, because the suite asks once. The suite is the only client, and leaves calls behind that
 * wait for its answers, so mcplex is told that all requests are of one person. Everything is in a folder
 * of its own.
 */
export function configure(world, upstream) {
  const folder = mkdtempSync(join(world, 'mcplex-'));
  const file = join(folder, 'mcplex.toml');
  const lines = [
    '[gateway]', 'listen = "127.0.0.1:0"', 'watch = false', `state_dir = ${text(join(folder, 'state'))}`,
    '[router]', 'naming = "none"', 'first_list_wait = "10s"', 'single_user = true',
    '[[servers]]', 'name = "upstream"',
    ...(upstream.url ? [`url = ${text(upstream.url)}`] : [`command = ${text(upstream.command[0])}`, `args = ${text(upstream.command.slice(1))}`]),
    ...(upstream.auth ? ['[servers.auth]', ...Object.entries(upstream.auth).map(([key, value]) => `${key} = ${text(value)}`)] : []),
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** Whether this mcplex takes upstreams over HTTP. */
export function takesUrls(mcplex, world) {
  try {
    execFileSync(mcplex, ['check', '-c', configure(world, { url: 'http://127.0.0.1:9/mcp' })], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
}

export class Gateway {
  #proxies = [];

  constructor(mcplex, records) {
    this.mcplex = mcplex;
    this.records = records;
  }

  /** Writes its configuration; with `records` all that it says to anybody is written down. */
  static async plan(mcplex, world, upstream, records) {
    const gateway = new Gateway(mcplex, records);
    gateway.file = configure(world, records ? await gateway.#watched(upstream) : upstream);
    return gateway;
  }

  /** The same, started. */
  static async open(...how) {
    const gateway = await Gateway.plan(...how);
    gateway.start();
    return gateway;
  }

  start() {
    this.job = start(this.mcplex, ['serve', '-c', this.file]);
  }

  /** The upstream with somebody in front who writes down. */
  async #watched({ url, command, isUnwatched, ...rest }) {
    if (isUnwatched) return { url, command, ...rest };
    const file = this.records('upstream');
    return { ...rest, ...(url ? { url: await this.#proxy(url, file, 'client') } : { command: recorded(file, 'client', command) }) };
  }

  async #proxy(url, file, judged) {
    const proxy = await Proxy.open(url, file, judged);
    this.#proxies.push(proxy);
    return proxy.url;
  }

  /** The endpoint, once its upstream is up; throws its last words when that does not happen. */
  async url() {
    const port = await until(LISTEN_LIMIT, () => this.job.err.match(/http:\/\/127\.0\.0\.1:(\d+)\/mcp/)?.[1], 20);
    if (!port) throw new Error(`mcplex does not listen: ${this.#lastWords()}`);
    const waiting = start(this.mcplex, ['start', 'upstream', '-c', this.file]);
    const end = await ended(waiting, READY_LIMIT);
    if (end?.code !== 0) {
      kill([{ pid: waiting.pid }]);
      throw new Error(`the upstream is not ready: ${waiting.err.trim() || this.#lastWords()}`);
    }
    const url = `http://localhost:${port}/mcp`;
    return this.records ? this.#proxy(url, this.records('client'), 'server') : url;
  }

  /** Has a person log in for the upstream, as soon as the browser is sent there; throws when it is refused. */
  async login(browser) {
    const job = start(this.mcplex, ['login', 'upstream', '-c', this.file, '--timeout', String(LOGIN_LIMIT / 1000)]);
    job.child.stdin.end();
    const address = () => job.out.match(/^ *(http\S+response_type=code\S+)$/m)?.[1];
    const [asked, end] = [address, () => job.child.exitCode ?? job.child.signalCode];
    await until(LOGIN_LIMIT, () => asked() || end() !== null, 20);
    if (asked()) await browser(asked());
    const { code } = (await ended(job, LOGIN_LIMIT)) ?? {};
    if (code === undefined) kill([{ pid: job.pid }]);
    if (code !== 0) throw new Error(`the login failed: ${job.err.trim()}`);
  }

  /** Whether its upstream is up and shows something, as an operator sees it. */
  async isReady() {
    const job = start(this.mcplex, ['status', '--json', '-c', this.file]);
    job.child.stdin.end();
    const end = await ended(job, READY_LIMIT);
    const [upstream] = end?.code === 0 ? JSON.parse(job.out).upstreams : [];
    return upstream?.health === 'ready' && upstream.tools > 0;
  }

  /** Ends it as an operator does. */
  async stop() {
    this.job.child.kill('SIGTERM');
    const end = await ended(this.job, END_LIMIT);
    if (!end) kill([{ pid: this.job.pid }]);
    for (const proxy of this.#proxies) proxy.stop();
    if (end?.code !== 0) throw new Error(`mcplex did not end well: ${this.#lastWords()}`);
  }

  #lastWords() {
    return this.job.err.trim().slice(-600);
  }
}
