// Everything around the page: mcplex and its servers, a collector of traces, a client that calls tools.

import { createServer } from 'node:http';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ended, kill, start, until } from '../interop/processes.mjs';

/** How long anything may take before a check fails: many times what it takes. */
export const PATIENCE = 20_000;

const text = (value) => JSON.stringify(value); // a JSON string is a TOML basic string

const root = realpathSync(mkdtempSync(join(tmpdir(), 'mcplex-dashboard-')));
const running = new Set();
process.once('exit', () => {
  running.forEach((child) => child.kill('SIGKILL'));
  rmSync(root, { recursive: true, force: true });
});

/** What the page must show as text and nothing else. */
export const MARKUP = '<img src=x onerror="document.title=1">';
export const LAST_WORDS = `Client not created! Set TELEGRAM_TOKEN. ${MARKUP}`;
export const TOKEN = '0123456789abcdef-of-operators';

/**
 * A port that nobody has, and that no system gives away by itself: mcplex is started more than once on
 * it, and somebody else must not get it in between.
 */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const isFree = await new Promise((done) => server.once('error', () => done(false)).listen(port, '127.0.0.1', () => done(true)));
    await new Promise((done) => (isFree ? server.close(done) : done()));
    if (isFree) return port;
  }
}

/** Takes traces and says thank you. */
async function collector() {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  server.unref();
  return server.address().port;
}

export class World {
  /** A folder, ports and a configuration; nothing runs as yet. */
  static async make({ mcplex, fakeServer }) {
    const world = new World();
    Object.assign(world, { mcplex, fakeServer, admin: await freePort() });
    world.origin = `http://127.0.0.1:${world.admin}`;
    world.link = `${world.origin}/#token=${TOKEN}`;
    world.traces = 'http://127.0.0.1:16686';
    writeFileSync(join(root, 'mcplex.toml'), world.#configuration(await collector()));
    return world;
  }

  #configuration(collectorPort) {
    const server = (name, command, args, ...more) => ['[[servers]]', `name = ${text(name)}`, `command = ${text(command)}`, `args = ${text(args)}`, ...more, ''];
    // Like a server without its credentials, until there is a file.
    const script = `test -e healed || { echo ${quoted(LAST_WORDS)} >&2; exit 1; }; exec "$0" "$@"`;
    const quick = ['backoff_first = "10ms"', 'backoff_max = "10ms"'];
    return [
      '[admin]', `listen = "127.0.0.1:${this.admin}"`, `token = ${text(TOKEN)}`, `traces = ${text(this.traces)}`, '',
      '[telemetry]', `endpoint = "http://127.0.0.1:${collectorPort}"`, '',
      ...server('files', this.fakeServer, []),
      ...server('telegram', 'sh', ['-c', script, this.fakeServer], '[servers.supervise]', 'max_deaths = 2', 'cooldown_first = "600s"', ...quick),
      // It never stops dying, and never trips.
      ...server('restless', this.fakeServer, ['--die-after', '200', '--stderr', 'restless as ever'], '[servers.supervise]', 'max_deaths = 10000', 'max_run = 10000', 'backoff_first = "200ms"', 'backoff_max = "200ms"'),
      // It waits for its next life as long as anybody looks.
      ...server('waiting', 'sh', ['-c', 'exit 7'], '[servers.supervise]', 'backoff_first = "500s"', 'backoff_max = "500s"'),
      ...server('seldom', this.fakeServer, [], '[servers.supervise]', 'lazy = true', 'idle_stop = "1s"'),
      ...server('mail', this.fakeServer, [], '[servers.supervise]', 'isolation = "pool"', 'pool_size = 2'),
      ...server('disused', this.fakeServer, [], 'enabled = false'),
    ].join('\n');
  }

  /** Starts mcplex, and waits until it serves operators and clients. */
  async start() {
    const env = { PATH: process.env.PATH, HOME: root };
    this.job = start(this.mcplex, ['serve', '-c', join(root, 'mcplex.toml'), '--listen', '127.0.0.1:0'], { cwd: root, env });
    running.add(this.job.child);
    const [, endpoint] = (await until(PATIENCE, () => this.job.err.match(/(http:\/\/127\.0\.0\.1:\d+\/mcp)/), 20)) ?? [];
    if (!endpoint) throw new Error(`mcplex does not start: ${this.job.err.slice(-600)}`);
    this.endpoint = endpoint;
    await this.until('operators are served', () => this.api('status'));
  }

  /** Ends mcplex as an operator does. */
  async stop() {
    this.job.child.kill('SIGTERM');
    const end = await ended(this.job, PATIENCE);
    if (!end) kill([{ pid: this.job.pid }]);
    running.delete(this.job.child);
    if (end?.code !== 0) throw new Error(`mcplex ended with ${end?.code ?? end?.signal}: ${this.job.err.slice(-600)}`);
  }

  /** What the API says; null when it does not. */
  async api(path, method = 'GET') {
    try {
      const response = await fetch(`${this.origin}/api/v1/${path}`, { method, headers: { Authorization: `Bearer ${TOKEN}` } });
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  upstream(name) {
    return this.api(`upstreams/${name}`);
  }

  /** Waits until something is true, and gives it. */
  async until(what, probe) {
    for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
      const value = await probe();
      if (value) return value;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`it never comes that ${what}`);
  }

  /** Has an upstream in this state, whatever was before. */
  async bring(name, verb, health) {
    if ((await this.upstream(name))?.health !== health) await this.api(`upstreams/${name}/${verb}`, 'POST');
    await this.until(`${name} is ${health}`, async () => (await this.upstream(name))?.health === health);
  }

  /** From now on the sick one is well, once it is started. */
  heal() {
    writeFileSync(join(root, 'healed'), '');
  }

  sicken() {
    rmSync(join(root, 'healed'), { force: true });
  }

  /** A client with a session. */
  async client() {
    const client = new Client(this.endpoint);
    await client.ask('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'dashboard', version: '1' } });
    await client.post({ method: 'notifications/initialized' });
    return client;
  }
}

const quoted = (words) => `'${words.replaceAll("'", "'\\''")}'`;

class Client {
  #id = 0;
  #headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

  constructor(url) {
    this.url = url;
  }

  async post(message) {
    const response = await fetch(this.url, { method: 'POST', headers: this.#headers, body: JSON.stringify({ jsonrpc: '2.0', ...message }) });
    const session = response.headers.get('mcp-session-id');
    if (session) Object.assign(this.#headers, { 'mcp-session-id': session, 'mcp-protocol-version': '2025-06-18' });
    return response.text();
  }

  /** The answer, whether it comes as JSON or as an event. */
  ask(method, params = {}) {
    return this.post({ id: (this.#id += 1), method, params });
  }

  call(name, args = {}) {
    return this.ask('tools/call', { name, arguments: args });
  }
}
