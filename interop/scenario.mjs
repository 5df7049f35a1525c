// What every client does, and what must be true of each answer whoever gave it.
//
// A step is plain data that the clients of all languages interpret. `server`
// says who answers it: a direct run gives each server its own steps, a run
// through mcplex gives one client all of them.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { call, equals, lists, mentions, nonEmpty } from './steps.mjs';

const EVERYTHING_TOOLS = 17; // with a client that declares roots, sampling and elicitation by form and by URL

// server-everything keeps its documents beside its code; this one is read as a resource.
const DOCUMENT = 'demo://resource/static/document/features.md';
const DYNAMIC = 'demo://resource/dynamic/text/1';
const PAGE = { url: 'https://example.org/sign-in', message: 'Please sign in', elicitationId: 'page-1' };
const NO_ERROR = 'since 2026-07-28 a page to open is asked for, never an error';
const LONG = 'trigger-long-running-operation';

/** Commands of the servers; `world` holds the directories they work on. */
export function servers(dir, world) {
  const node = (name) => ({
    command: process.execPath,
    args: [join(dir, 'node/node_modules/@modelcontextprotocol', name, 'dist/index.js')],
  });
  const filesystem = node('server-filesystem');
  filesystem.args.push(world.files);
  return {
    everything: node('server-everything'),
    filesystem,
    memory: { ...node('server-memory'), env: { MEMORY_FILE_PATH: world.memory } },
    time: { command: join(dir, 'servers/bin/mcp-server-time'), args: ['--local-timezone', 'UTC'] },
    git: { command: join(dir, 'servers/bin/mcp-server-git'), args: ['--repository', world.repository] },
    changing: { command: join(dir, 'client-2/bin/python'), args: [fileURLToPath(new URL('servers/changing.py', import.meta.url))] },
  };
}

/** The servers that can be reached over HTTP too, by the port they are given. */
export const remote = (dir, world) => {
  const { everything, changing } = servers(dir, world);
  return {
    everything: (port) => ({ ...everything, args: [...everything.args, 'streamableHttp'], env: { PORT: String(port) } }),
    changing: (port) => ({ ...changing, args: [...changing.args, '--port', String(port)] }),
  };
};

export const telegram = (dir) => ({ command: join(dir, 'telegram/bin/mcp-telegram'), args: ['start'] });

// A client that cannot be asked sees fewer tools of this server.
const everythingTools = (tools, client) =>
  client.lacks || tools.length >= EVERYTHING_TOOLS ? null : `${tools.length} tools instead of ${EVERYTHING_TOOLS}: ${tools.map((tool) => tool.name).join(' ')}`;

const everything = [
  call('everything', 'echo', { message: 'grüße, 世界 \u{1f980}' }, mentions('世界')),
  call('everything', 'get-sum', { a: 2, b: 40 }, mentions('42')),
  call('everything', 'get-structured-content', { location: 'Chicago' }, mentions('structuredContent')),
  call('everything', 'get-tiny-image', {}, mentions('image/png')),
  call('everything', 'get-annotated-message', { messageType: 'error', includeImage: true }, mentions('annotations')),
  { ...call('everything', 'get-resource-links', { count: 3 }, mentions('resource_link')), needs: 'links' },
  { id: 'call get-sum with bad arguments', server: 'everything', verb: 'call', name: 'get-sum', arguments: { a: 'x' }, refused: true },
  { id: 'call an unknown tool', server: 'everything', verb: 'call', name: 'no-such-tool', arguments: {}, refused: true, alike: true },
  { id: 'progress', server: 'everything', verb: 'progress', name: LONG, arguments: { duration: 1, steps: 4 }, check: progressInOrder },
  { id: 'cancel', server: 'everything', verb: 'cancel', name: LONG, arguments: { duration: 4, steps: 8 }, check: equals('cancelled') },
  { ...call('everything', 'echo', { message: 'after' }, mentions('after')), id: 'call echo after a cancelled call', within: 3000 },
  { ...call('everything', 'trigger-sampling-request', { prompt: 'say hello', maxTokens: 20 }, mentions('sampled by the client')) },
  { id: 'the sampling request that arrived', server: 'everything', verb: 'asked', method: 'sampling/createMessage', check: mentions('say hello') },
  { ...call('everything', 'trigger-elicitation-request', {}, mentions('Ada')), needs: 'elicitation' },
  { id: 'the elicitation request that arrived', needs: 'elicitation', server: 'everything', verb: 'asked', method: 'elicitation/create', check: mentions('birthdate') },
  { ...call('everything', 'trigger-url-elicitation', PAGE, mentions('completed')), needs: 'url' },
  { id: 'the page to open that arrived', needs: 'url', server: 'everything', verb: 'asked', method: 'elicitation/create', check: mentions(PAGE.url) },
  {
    ...call('everything', 'trigger-url-elicitation', { ...PAGE, errorPath: true }, null),
    id: 'a page to open first is an error', legacy: NO_ERROR, needs: 'url', refused: true,
  },
  { ...call('everything', 'trigger-url-elicitation', { ...PAGE, errorPath: true }, mentions('completed')), id: 'the same call once more', legacy: NO_ERROR, needs: 'url' },
  { ...call('everything', 'get-roots-list', {}, mentions('interop root')) },
  { id: 'set the logging level', server: 'everything', verb: 'level', level: 'debug' },
  { ...call('everything', 'toggle-simulated-logging', {}, mentions('Started')), id: 'start the simulated logging' },
  { id: 'a log message arrives', legacy: 'it belongs to no request, so nobody has asked for it', server: 'everything', verb: 'await', event: 'log', pattern: 'level[ -]message', check: equals('seen') },
  { ...call('everything', 'toggle-simulated-logging', {}, mentions('Stopped')), id: 'stop the simulated logging' },
  { id: 'subscribe', server: 'everything', verb: 'subscribe', uri: DYNAMIC },
  { ...call('everything', 'toggle-subscriber-updates', {}, mentions('Started')), id: 'start the resource updates' },
  { id: 'a resource update arrives', server: 'everything', verb: 'await', event: 'updated', pattern: DYNAMIC, check: equals('seen') },
  { ...call('everything', 'toggle-subscriber-updates', {}, mentions('Stopped')), id: 'stop the resource updates' },
  { id: 'unsubscribe', server: 'everything', verb: 'unsubscribe', uri: DYNAMIC },
  {
    id: 'complete a prompt argument', server: 'everything', verb: 'complete', check: mentions('values'),
    ref: { type: 'ref/prompt', name: 'completable-prompt' }, argument: { name: 'department', value: 'E' },
  },
  {
    id: 'complete a template argument', server: 'everything', verb: 'complete', check: mentions('values'),
    ref: { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' }, argument: { name: 'resourceId', value: '1' },
  },
  { id: 'read a listed resource', server: 'everything', verb: 'read', uri: DOCUMENT, check: mentions('text') },
  { id: 'read a resource of a template', server: 'everything', verb: 'read', uri: DYNAMIC, check: mentions('text') },
  { id: 'read an unknown resource', server: 'everything', verb: 'read', uri: 'demo://no/such/resource', refused: true, alike: true },
  { id: 'get a prompt', server: 'everything', verb: 'prompt', name: 'simple-prompt', check: mentions('messages') },
  { id: 'get a prompt with arguments', server: 'everything', verb: 'prompt', name: 'args-prompt', arguments: { city: 'Basel' }, check: mentions('Basel') },
  { id: 'get an unknown prompt', server: 'everything', verb: 'prompt', name: 'no-such-prompt', refused: true, alike: true },
];

// The TypeScript client drops a notification that comes in one read with the
// result, so the last may be missing, whoever sent it.
function progressInOrder({ result, progress }) {
  if (progress.length < 3) return `${progress.length} progress notifications of 4`;
  if (progress.some((one, at) => one.progress !== at + 1 || one.total !== 4)) return `progress out of order: ${JSON.stringify(progress)}`;
  return mentions('completed')(result);
}

const others = (world) => [
  call('filesystem', 'list_allowed_directories', {}, mentions(world.files)),
  call('filesystem', 'write_file', { path: join(world.files, 'note.txt'), content: 'one\ntwo\n' }),
  call('filesystem', 'read_text_file', { path: join(world.files, 'note.txt') }, mentions('two')),
  call('filesystem', 'list_directory', { path: world.files }, mentions('note.txt')),
  { ...call('filesystem', 'read_text_file', { path: '/etc/hostname' }), id: 'call read_text_file outside of the allowed directories', check: null, refused: true },
  call('memory', 'create_entities', { entities: [{ name: 'Ada', entityType: 'person', observations: ['writes notes'] }] }, mentions('Ada')),
  call('memory', 'read_graph', {}, mentions('writes notes')),
  { id: 'read the resource of another server', server: 'memory', verb: 'read', uri: 'memory://knowledge-graph', check: mentions('writes notes') },
  call('memory', 'delete_entities', { entityNames: ['Ada'] }),
  call('time', 'convert_time', { source_timezone: 'UTC', time: '12:30', target_timezone: 'Asia/Tokyo' }, mentions('Asia/Tokyo')),
  call('git', 'git_log', { repo_path: world.repository, max_count: 1 }, mentions('the only commit')),
  call('git', 'git_status', { repo_path: world.repository }, mentions('clean')),
];

const WATCHED = 'changing://watched';
const change = (add) => ({ ...call('changing', 'changing-change', { add }), id: `${add ? 'add to' : 'take from'} the lists` });

const changing = [
  change(true),
  ...['tools', 'prompts', 'resources'].map((what) => ({
    id: `the list of ${what} has changed`, server: 'changing', verb: 'await', event: 'changed', pattern: `${what}/list_changed`, check: equals('seen'),
  })),
  { id: 'the added tool is listed', server: 'changing', verb: 'ready', tools: ['changing-added'], check: equals('ready') },
  call('changing', 'changing-added', {}, mentions('done')),
  { id: 'get the added prompt', server: 'changing', verb: 'prompt', name: 'changing-added', check: mentions('changing-added') },
  change(false),
  { id: 'watch a resource', server: 'changing', verb: 'subscribe', uri: WATCHED },
  call('changing', 'changing-touch', {}),
  { id: 'the watched resource is updated', server: 'changing', verb: 'await', event: 'updated', pattern: WATCHED, check: equals('seen') },
  { id: 'watch it no more', server: 'changing', verb: 'unsubscribe', uri: WATCHED },
  call('changing', 'changing-talk', {}),
  { id: 'a log message of a call arrives', server: 'changing', verb: 'await', event: 'log', pattern: 'talking', check: equals('seen') },
];

/** Every step, with the server that answers it. */
export function steps(world) {
  const names = ['everything', 'filesystem', 'memory', 'time', 'git', 'changing'];
  const wanted = (server, what) => {
    if (server === 'everything') return what === 'tools' ? everythingTools : nonEmpty;
    return server === 'changing' && what !== 'templates' ? pages : null;
  };
  return [
    ...names.map((server) => ({ id: 'ping', server, verb: 'ping', legacy: 'ping is gone with sessions' })),
    ...lists(names, wanted),
    ...everything,
    ...others(world),
    ...changing,
  ];
}

const pages = (items) => (items.length === 3 ? null : `${items.length} items instead of 3, on two pages`);
