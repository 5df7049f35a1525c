// The clients, and one run of one of them against one target.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Watch, ended, kill, start } from './processes.mjs';

const here = fileURLToPath(new URL('clients/', import.meta.url));

// `direct` is added to the specification of a direct run: the servers on Python
// would answer the 2.x client's probe, while the gateway is asked as it is.
export const clients = (dir) => [
  { name: 'ts', command: process.execPath, args: [join(here, 'ts.mjs'), join(dir, 'node')], direct: {} },
  { name: 'py1', command: join(dir, 'client-1/bin/python'), args: [join(here, 'py1.py')], direct: {} },
  { name: 'py2', command: join(dir, 'client-2/bin/python'), args: [join(here, 'py2.py')], direct: { mode: 'legacy' } },
];

const answers = (world) => ({
  'sampling/createMessage': {
    model: 'interop', role: 'assistant', stopReason: 'endTurn',
    content: { type: 'text', text: 'sampled by the client' },
  },
  'elicitation/create': { action: 'accept', content: { name: 'Ada', check: true, integer: 7, email: 'ada@example.org' } },
  // The filesystem server takes the roots for its allowed directories.
  'roots/list': { roots: [{ uri: `file://${world.files}`, name: 'interop root' }] },
});

const RUN_LIMIT = 60_000;
const END_LIMIT = 10_000;

/** Runs `steps` with a client; gives results, leftovers of the target's tree, stderr, or why not. */
export async function drive(client, target, steps, world, extra = {}) {
  const plain = steps.map(({ check: _check, ...step }) => step);
  const job = start(client.command, client.args, { env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } });
  const watch = new Watch(job.pid, null, 200);
  job.child.stdin.end(JSON.stringify({ target, steps: plain, answers: answers(world), ...extra }));
  const end = await ended(job, RUN_LIMIT);
  if (!end) kill([{ pid: job.pid }]);
  const leftovers = await watch.leftovers(END_LIMIT);
  kill(leftovers);
  const outcome = { stderr: job.err, leftovers, results: null, why: null };
  if (!end) outcome.why = `the client did not end within ${RUN_LIMIT / 1000} s`;
  else if (end.code !== 0) outcome.why = `the client ended with ${end.failed ?? end.signal ?? end.code}: ${job.err.trim().slice(-600)}`;
  else outcome.results = JSON.parse(job.out).results;
  return outcome;
}
