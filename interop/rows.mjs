// One row of the matrix: a client, a set of servers, and each way between them.

import { drive } from './clients.mjs';
import { difference, listDifference } from './compare.mjs';
import { Gateway, configuration, watched } from './gateway.mjs';
import { elsewhere } from './elsewhere.mjs';
import { fault } from './steps.mjs';

// Each row has one client, which gives up calls on the way and is not to be taken for several by that.
const ALONE = ['[router]', 'single_user = true'];

/** What one way of one row came to: `report(name, because)` is called with every check. */
export class Row {
  /** `world` holds what the servers work on, `set` their commands and the steps; `records` may be null. */
  constructor(client, set, world, mcplex, records) {
    Object.assign(this, { client, set, world, mcplex, records });
    this.steps = set.steps.filter((step) => !client.lacks?.includes(step.needs));
    this.direct = new Map();
  }

  /** What the client gets from each server itself, by step: the expectation. */
  async directly(report) {
    await Promise.all(Object.entries(this.set.servers).map(async ([server, command]) => {
      const own = this.steps.filter((step) => step.server === server);
      const outcome = await drive(this.client, command, own, this.world);
      if (outcome.why) report(`${server}: connect and end`, outcome.why);
      // Without an expectation there is nothing to compare with.
      this.isBroken ||= Boolean(outcome.why);
      own.forEach((step, at) => {
        this.direct.set(step, outcome.results?.[at] ?? { error: { message: 'the direct run failed' } });
        if (outcome.results) report(`${server}: ${step.id}`, fault(step, this.direct.get(step), this.client));
      });
      report(`${server}: nothing is left`, left(outcome));
    }));
  }

  /** Through `mcplex stdio`. */
  async overStdio(report, mode) {
    const file = configuration(this.world, this.set.servers, ALONE, this.records);
    const target = { command: this.mcplex, args: ['stdio', '-c', file] };
    await this.throughMcplex(report, this.records ? watched(this.records('client'), 'server', target) : target, mode);
  }

  /** Through `mcplex serve`; `beside(gateway, url)` may watch it meanwhile, with more servers behind it. */
  async overHttp(report, mode, more = {}, beside = async () => {}) {
    const file = configuration(this.world, { ...this.set.servers, ...more }, ALONE, this.records);
    const gateway = new Gateway(this.mcplex, file, this.records);
    try {
      const url = await gateway.url();
      report('mcplex listens', url ? null : `no address on its stderr: ${gateway.end()}`);
      if (url) await Promise.all([this.throughMcplex(report, { url }, mode), beside(gateway, url)]);
    } finally {
      report('mcplex ends on SIGTERM and nothing is left', await gateway.stop());
    }
  }

  /** Through `mcplex serve` to the servers that run elsewhere, over HTTP on both sides. */
  async toUrls(report, commands) {
    const { servers, end } = await elsewhere(commands, this.records);
    try {
      const near = new Row(this.client, { servers, steps: this.steps.filter((step) => servers[step.server]) }, this.world, this.mcplex, this.records);
      near.direct = this.direct;
      await near.overHttp(report);
    } finally {
      await end();
    }
  }

  /** Runs all steps in one session and compares them with the direct results. */
  async throughMcplex(report, target, mode) {
    const names = this.union('tools').map((tool) => tool.name);
    const ready = { id: 'all tools are listed', verb: 'ready', tools: names };
    // What a stateless client cannot have is named at its step.
    const todo = [ready, ...this.merged()].filter((step) => !(step.legacy && mode));
    const outcome = await drive(this.client, target, todo, this.world, mode);
    report('connect and end', outcome.why);
    if (outcome.results) todo.forEach((step, at) => report(step.id, this.verdict(step, outcome.results[at], mode !== undefined)));
    report('nothing is left', left(outcome));
  }

  verdict(step, result, isModern) {
    if (step.verb !== 'list') return fault(step, result, this.client) ?? (step.verb === 'ready' ? null : difference(step, this.direct.get(step), result, isModern));
    // mcplex declares for all its clients together, so one that cannot be asked sees more tools.
    const cannot = step.what === 'tools' && this.client.lacks !== undefined;
    return result.error ? fault(step, result) : listDifference(step.what, this.union(step.what), result.ok, { cannot, isModern });
  }

  union(what) {
    const lists = this.steps.filter((step) => step.verb === 'list' && step.what === what);
    return lists.flatMap((step) => this.direct.get(step).ok ?? []);
  }

  /** The lists of all servers are one list through the gateway, so they are one step there. */
  merged() {
    const kept = new Set();
    return this.steps.filter((step) => {
      const name = { list: step.what, ping: 'ping' }[step.verb];
      return !name || (!kept.has(name) && kept.add(name));
    });
  }
}

const left = ({ leftovers }) => (leftovers.length > 0 ? `left: ${leftovers.map((row) => `${row.pid} ${row.command}`).join(', ')}` : null);
