// The fixture servers: full-featured MCP servers on the official SDKs, which pass whatever they can
// when the suite reaches them directly. One entry each; `run.mjs` does the rest.
//
// name   what the table calls it, and `--only` finds it by
// eras   the eras it serves: 'legacy' (2024-11-05 … 2025-11-25), 'modern' (2026-07-28)
// stdio  the command that serves over stdin and stdout, as a list of words
// http   the command that serves at http://localhost:PORT/mcp until SIGTERM, given the port
//
// `dir` is where `install.sh` put the packages, `here` the folder of the fixtures.

import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('fixtures', import.meta.url));

/** The installed Node: the suite wants a newer one than many machines have. */
export const node = (dir) => join(dir, 'node/node_modules', `node-linux-${process.arch}`, 'bin/node');

/** A fixture that gets `--port PORT` to serve over HTTP, and nothing to serve over stdio. */
const fixture = (name, eras, command) => ({
  name, eras, stdio: command, http: (port) => [...command, '--port', String(port)],
});

/** A program in JavaScript; `packages.mjs` lets it import what is installed. */
export const script = (dir, file, ...words) => [node(dir), '--import', join(here, 'packages.mjs'), resolve(here, file), ...words];

export const fixtures = (dir) => [
  fixture('typescript-v2', ['legacy', 'modern'], script(dir, 'typescript-v2/server.mjs')),
  fixture('typescript-v2-legacy', ['legacy'], script(dir, 'typescript-v2/server.mjs', '--era', 'legacy')),
  fixture('typescript-v2-modern', ['modern'], script(dir, 'typescript-v2/server.mjs', '--era', 'modern')),
  fixture('python', ['legacy', 'modern'], [join(dir, 'python/bin/python'), join(here, 'python/server.py')]),
  fixture('rust', ['legacy', 'modern'], [join(dir, 'rust/debug/mcplex-fixture')]),
  fixture('typescript-v1', ['legacy'], script(dir, 'typescript-v1/server.mjs')),
];
