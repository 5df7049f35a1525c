// Servers that run by themselves and are reached over HTTP: started before a run, ended after it.

import { createServer, connect } from 'node:net';
import { Proxy } from '../conformance/record/proxy.mjs';
import { ended, kill, sleep, start } from './processes.mjs';

const LISTEN_LIMIT = 20_000;
const END_LIMIT = 5_000;

/**
 * Starts what `commands` give for a port each; gives the servers for a configuration, and their end.
 * With `records` there is somebody in front of each who writes down what is said.
 */
export async function elsewhere(commands, records) {
  const jobs = [];
  const proxies = [];
  const servers = {};
  for (const [name, command] of Object.entries(commands)) {
    const port = await freePort();
    const { command: program, args, env } = command(port);
    jobs.push(start(program, args, { env: { ...process.env, ...env } }));
    await listening(port, name);
    servers[name] = { url: `http://127.0.0.1:${port}/mcp` };
    if (!records) continue;
    proxies.push(await Proxy.open(servers[name].url, records(name), 'client'));
    servers[name] = { url: proxies.at(-1).url };
  }
  const end = () => Promise.all(jobs.map(async (job) => {
    job.child.kill('SIGTERM');
    if (!(await ended(job, END_LIMIT))) kill([{ pid: job.pid }]);
  })).finally(() => proxies.forEach((proxy) => proxy.stop()));
  return { servers, end };
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket.destroy() && true)).on('error', () => resolve(false));
  });

async function listening(port, name) {
  for (const end = Date.now() + LISTEN_LIMIT; Date.now() < end; await sleep(50)) if (await answers(port)) return;
  throw new Error(`${name} does not listen on port ${port}`);
}
