// A server on the TypeScript SDK 1.x that tells how far a task is, under the token of the call that it
// was made of and has answered: `counting.mjs INSTALLED_NODE_DIR`.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const require = createRequire(join(process.argv[2], 'package.json'));
const sdk = (path) => require(`@modelcontextprotocol/sdk/${path}`);
const { Server } = sdk('server/index.js');
const { StdioServerTransport } = sdk('server/stdio.js');
const { InMemoryTaskMessageQueue, InMemoryTaskStore } = sdk('experimental/tasks/index.js');
const { CallToolRequestSchema, ListToolsRequestSchema } = sdk('types.js');

const [KEPT, POLL, PAUSE, LAST] = [60_000, 100, 300, 3];

const capabilities = { tools: {}, tasks: { cancel: {}, requests: { tools: { call: {} } } } };
const server = new Server({ name: 'counting', version: '1' }, {
  capabilities, taskStore: new InMemoryTaskStore(), taskMessageQueue: new InMemoryTaskMessageQueue(),
});

server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [{ name: 'count', description: 'Counts to three', inputSchema: { type: 'object' }, execution: { taskSupport: 'required' } }],
}));
server.setRequestHandler(CallToolRequestSchema, async (_request, { taskStore, _meta }) => {
  const task = await taskStore.createTask({ ttl: KEPT, pollInterval: POLL });
  count(task.taskId, _meta?.progressToken, taskStore).catch(console.error);
  return { task };
});

async function count(taskId, progressToken, store) {
  const related = { 'io.modelcontextprotocol/related-task': { taskId } };
  for (let progress = 1; progress <= LAST; progress += 1) {
    await wait(PAUSE);
    if (progressToken === undefined) continue;
    await server.notification({ method: 'notifications/progress', params: { progressToken, progress, total: LAST, _meta: related } });
  }
  await wait(PAUSE);
  await store.storeTaskResult(taskId, 'completed', { content: [{ type: 'text', text: 'counted to three' }] });
}

await server.connect(new StdioServerTransport());
