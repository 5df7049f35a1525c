// One row of the matrix: a client, a set of servers, and each way between them.

import { drive } from './clients.mjs';
import { difference, listDifference } from './compare.mjs';
import { Gateway, configuration } from './gateway.mjs';
import { fault } from './steps.mjs';

// A change is told by two mcplex in a row, and a step that uses it does not wait for both.
const AT_ONCE = ['[router]', 'list_changed_interval = "0s"'];

/** What one way of one row came to: `report(name, because)` is called with every check. */
export class Row {
  /** `world` holds what the servers work on, `set` their commands and the steps. */
  constructor(client, set, world, mcplex) {
    Object.assign(this, { client, set, world, mcplex });
    this.steps = set.steps.filter((step) => !client.lacks?.includes(step.needs));
    this.direct = new Map();
  }

  /** What the client gets from each server itself, by step: the expectation. */
  async directly(report) {
    await Promise.all(Object.entries(this.set.servers).map(async ([server, command]) => {
      const own = this.steps.filter((step) => step.server === server);
      const outcome = await drive(this.client, command, own, this.world, this.client.direct);
      if (outcome.why) report(`${server}: connect and end`, outcome.why);
      own.forEach((step, at) => {
        this.direct.set(step, outcome.results?.[at] ?? { error: { message: 'the direct run failed' } });
        if (outcome.results) report(`${server}: ${step.id}`, fault(step, this.direct.get(step), this.client));
      });
      report(`${server}: nothing is left`, left(outcome));
    }));
  }

  /** Through `mcplex stdio`. */
  async overStdio(report) {
    const file = configuration(this.world, this.set.servers);
    await this.throughMcplex(report, { command: this.mcplex, args: ['stdio', '-c', file] });
  }

  /** Through `mcplex serve`; `beside(gateway, url)` may watch it meanwhile, with more servers behind it. */
  async overHttp(report, more = {}, beside = async () => {}, lines = []) {
    const gateway = new Gateway(this.mcplex, configuration(this.world, { ...this.set.servers, ...more }, lines));
    try {
      const url = await gateway.url();
      report('mcplex listens', url ? null : `no address on its stderr: ${gateway.end()}`);
      if (url) await Promise.all([this.throughMcplex(report, { url }), beside(gateway, url)]);
    } finally {
      report('mcplex ends on SIGTERM and nothing is left', await gateway.stop());
    }
  }

  /** Through `mcplex serve` that reaches them over HTTP, as one server elsewhere: another mcplex. */
  async overFar(report, era) {
    const servers = Object.entries(this.set.servers).map(([name, server]) => [name, { ...server, era }]);
    const behind = new Gateway(this.mcplex, configuration(this.world, Object.fromEntries(servers), AT_ONCE));
    try {
      const url = await behind.url();
      report('the mcplex behind listens', url ? null : `no address on its stderr: ${behind.end()}`);
      const front = new Row(this.client, { steps: this.set.steps, servers: { behind: { url, era } } }, this.world, this.mcplex);
      front.direct = this.direct;
      if (url) await front.overHttp(report, {}, undefined, AT_ONCE);
    } finally {
      report('the mcplex behind ends on SIGTERM and nothing is left', await behind.stop());
    }
  }

  /** Runs all steps in one session and compares them with the direct results. */
  async throughMcplex(report, target) {
    const names = this.union('tools').map((tool) => tool.name);
    const ready = { id: 'all tools are listed', verb: 'ready', tools: names };
    const todo = [ready, ...this.merged()];
    const outcome = await drive(this.client, target, todo, this.world);
    report('connect and end', outcome.why);
    if (outcome.results) todo.forEach((step, at) => report(step.id, this.verdict(step, outcome.results[at])));
    report('nothing is left', left(outcome));
  }

  verdict(step, result) {
    if (step.verb !== 'list') return fault(step, result, this.client) ?? (step.verb === 'ready' ? null : difference(step, this.direct.get(step), result));
    // mcplex declares for all its clients together, so one that cannot be asked sees more tools.
    const isSuperset = step.what === 'tools' && this.client.lacks !== undefined;
    return result.error ? fault(step, result) : listDifference(step.what, this.union(step.what), result.ok, isSuperset);
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
