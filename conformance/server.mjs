// One fixture server over HTTP, and free ports.

import { connect, createServer } from 'node:net';
import { ended, kill, sleep, start } from './processes.mjs';

const START_LIMIT = 30_000;
const END_LIMIT = 5_000;

/** A port that nothing listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, 'localhost', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect({ port, host: 'localhost' });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/** Starts a fixture over HTTP; gives its URL and how to end it. */
export async function serve(fixture) {
  const port = await freePort();
  const [command, ...args] = fixture.http(port);
  const job = start(command, args);
  const stop = async () => {
    job.child.kill('SIGTERM');
    if (!(await ended(job, END_LIMIT))) kill([{ pid: job.pid }]);
  };
  for (const limit = Date.now() + START_LIMIT; !(await answers(port)); await sleep(50)) {
    const end = await ended(job, 0);
    if (!end && Date.now() < limit) continue;
    await stop();
    throw new Error(`${fixture.name} does not listen: ${end?.failed ?? job.err.trim().slice(-600)}`);
  }
  return { url: `http://localhost:${port}/mcp`, stop };
}
