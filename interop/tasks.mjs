// Calls that outlast their request, between real clients and servers of which one knows sessions alone
// and the other none: the experimental core of 2025-11-25 and the extension of 2026-07-28.
//
// Each pair of the same era runs directly as well, which shows what the steps are worth.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drive } from './clients.mjs';
import { Gateway, configuration, watched } from './gateway.mjs';
import { servers as today } from './scenario.mjs';
import { fault, mentions } from './steps.mjs';

const ALONE = ['[router]', 'single_user = true', 'first_list_wait = "10s"'];

const RESEARCH = 'simulate-research-query';

/** A task that ends in a result of which this is true, or in something else. */
const task = (id, name, args, check, more = {}) => ({ id, verb: 'task', name, arguments: args, check, ...more });
const comesTo = (word) => ({ result, ...rest }) => (result ? mentions(word)(result) : `there is no result: ${JSON.stringify(rest)}`);
const wasAsked = (word) => ({ id: 'what it asked', verb: 'asked', method: 'elicitation/create', check: mentions(word) });
const isCancelled = ({ states, result }) => (states.at(-1) === 'cancelled' && !result ? null : `${states.join(', ')}, and a result`);
const fails = ({ states, result }) => (states.at(-1) === 'failed' && !result ? null : `${states.join(', ')}: ${JSON.stringify(result)}`);

/** What the stateless server does, for whoever can have tasks. */
const stateless = [
  task('a task that works for a while', 'sum', { a: 2, b: 40 }, comesTo('42')),
  task('a task that asks', 'ask', {}, comesTo('Ada')),
  wasAsked('Who are you?'),
  task('a task that is taken back', 'wait', {}, isCancelled, { cancel: true }),
  task('a task that breaks', 'broken', {}, fails),
];

/** The same of the server with sessions. */
const inSession = [
  task('a research', RESEARCH, { topic: 'moths' }, comesTo('Research Report: moths')),
  task('a research that asks what is meant', RESEARCH, { topic: 'moths', ambiguous: true }, comesTo('User accepted')),
  wasAsked('multiple interpretations'),
  task('a research that is taken back', RESEARCH, { topic: 'moths' }, isCancelled, { cancel: true }),
];

/** A task whose progress goes on after its call was answered; how much of it comes is a matter of time. */
const counting = [
  task('a task that tells how far it is', 'count', {}, ({ result, progress }) => (progress > 0 ? mentions('counted')(result) : 'no progress came')),
];

/** The same by a client that asked for no task: mcplex runs one. */
const counted = [
  { id: 'a call that is run as a task tells how far it is', verb: 'progress', name: 'count', arguments: {},
    check: ({ result, progress }) => (progress.length > 0 ? mentions('counted')(result) : 'no progress came') },
];

/** What only a session has: a list of tasks, a tool that may be one, and calls that are none. */
const ofSession = (count) => [
  { id: 'a tool may be a task', verb: 'list', what: 'tools', check: (tools) => (tools.every(({ execution }) => execution?.taskSupport) ? null : JSON.stringify(tools)) },
  ...(count === undefined ? [] : [{ id: 'all tasks are listed', verb: 'tasks', check: (found) => (found.length === count ? null : `${found.length} tasks: ${found.join(', ')}`) }]),
];
const plain = [
  { id: 'a call of what may be a task', verb: 'call', name: 'sum', arguments: { a: 1, b: 2 }, check: mentions('"3"') },
  { id: 'a call of what is a task alone', verb: 'call', name: 'ask', arguments: {}, check: mentions('Ada') },
  { id: 'a call of what breaks as a task', verb: 'call', name: 'broken', arguments: {}, refused: true },
];

/** Runs everything; `report(name, check, because)` is called with every check. */
export async function taskChecks(mcplex, dir, world, everyone, records, report) {
  const [sessions, none] = [{ everything: today(dir, world).everything }, { tasks: { command: join(dir, 'rust/debug/server-rmcp-3-tasks'), args: [] } }];
  const slow = { counting: { command: process.execPath, args: [fileURLToPath(new URL('servers/counting.mjs', import.meta.url)), join(dir, 'node')] } };
  const [ts1, ts2, rust3] = ['ts1', 'ts2', 'rust3'].map((name) => everyone.find((client) => client.name === name));
  const runs = [
    ['ts1, directly to server-everything', ts1, sessions, inSession],
    ['rust3, directly to a stateless server', rust3, none, stateless],
    ['ts1, mcplex, server-everything', ts1, sessions, inSession, mcplex],
    ['rust3, mcplex, a stateless server', rust3, none, stateless, mcplex],
    ['ts1, mcplex, a stateless server', ts1, none, [...ofSession(), ...stateless, ...ofSession(4).slice(1), ...plain], mcplex],
    ['rust3, mcplex, server-everything', rust3, sessions, inSession, mcplex],
    ['ts1, directly to a counting server', ts1, slow, counting],
    ['ts1, mcplex, a counting server', ts1, slow, counting, mcplex],
    ['ts2, mcplex, a counting server', ts2, slow, counted, mcplex],
  ];
  await Promise.all(runs.map(async ([name, client, servers, steps, through]) => {
    for (const way of through ? ['http', 'stdio'] : ['direct']) {
      await run(client, servers, steps, { world, mcplex: through, way, records }, (check, because) => report(`${name}, ${way}: ${check}`, because));
    }
  }));
}

async function run(client, servers, steps, { world, mcplex, way, records }, report) {
  const mode = client.modern ?? 'legacy';
  const settle = async (target) => {
    const outcome = await drive(client, target, steps, world, mode);
    report('connect and end', outcome.why);
    steps.forEach((step, at) => report(step.id, fault(step, outcome.results?.[at], client)));
    report('nothing is left', outcome.leftovers.length > 0 ? JSON.stringify(outcome.leftovers) : null);
  };
  if (!mcplex) return settle(Object.values(servers)[0]);
  const file = configuration(world, servers, ALONE, records);
  if (way === 'stdio') {
    const target = { command: mcplex, args: ['stdio', '-c', file] };
    return settle(records ? watched(records('client'), 'server', target) : target);
  }
  const gateway = new Gateway(mcplex, file, records);
  try {
    const url = await gateway.url();
    report('mcplex listens', url ? null : `no address on its stderr: ${gateway.end()}`);
    if (url) await settle({ url });
  } finally {
    report('mcplex ends on SIGTERM and nothing is left', await gateway.stop());
  }
}
