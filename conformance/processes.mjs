// What `interop` knows of processes, and that none outlives a run that is interrupted.

import { ended, kill, sleep, start as begin, until } from '../interop/processes.mjs';

export { ended, kill, sleep, until };

const running = new Set();
process.once('exit', () => running.forEach((job) => job.child.kill('SIGTERM')));

export function start(command, args, options) {
  const job = begin(command, args, options);
  running.add(job);
  job.done.then(() => running.delete(job));
  return job;
}
