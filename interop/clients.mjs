// The clients, and one run of one of them against one target.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Watch, ended, kill, start } from './processes.mjs';

const here = fileURLToPath(new URL('clients/', import.meta.url));

const node = (dir, file) => ({ command: process.execPath, args: [join(here, file), join(dir, 'node')] });
const python = (dir, environment, file) => ({ command: join(dir, environment, 'bin/python'), args: [join(here, file)] });
const rust = (dir, program) => ({ command: join(dir, 'rust/debug', program), args: [] });

// lacks   features that this client, or the revision it speaks, does not have; steps that need one
//         are left out
// urls    it is also used where mcplex reaches the servers over HTTP; two clients are enough there
// modern  how its specification says that it shall speak 2026-07-28; these have both eras
export const clients = (dir) => [
  { name: 'ts1', ...node(dir, 'ts1.mjs'), urls: true },
  { name: 'ts2', ...node(dir, 'ts2.mjs'), modern: 'modern' },
  { name: 'py1', ...python(dir, 'client-1', 'py1.py') },
  { name: 'py2', ...python(dir, 'client-2', 'py2.py'), modern: '2026-07-28' },
  { name: 'fastmcp', ...python(dir, 'fastmcp', 'fast.py'), modern: '2026-07-28' },
  { name: 'rust3', ...rust(dir, 'client-rmcp-3'), urls: true, modern: 'modern' },
  { name: 'py1.9', ...python(dir, 'client-19', 'py19.py'), lacks: ['elicitation', 'url', 'links'] },
  { name: 'rust0.8', ...rust(dir, 'client-rmcp-08'), lacks: ['elicitation', 'url', 'links'] },
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

const RUN_LIMIT = 120_000;
const END_LIMIT = 10_000;

/** Runs `steps` with a client; gives results, leftovers of the target's tree, stderr, or why not. */
export async function drive(client, target, steps, world, mode = 'legacy') {
  const plain = steps.map(({ check: _check, ...step }) => step);
  const job = start(client.command, client.args, { env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } });
  const watch = new Watch(job.pid, null, 200);
  job.child.stdin.end(JSON.stringify({ target, steps: plain, answers: answers(world), mode }));
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
