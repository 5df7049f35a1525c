// Servers from before: what they offer must be there through mcplex as well.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { call, equals, lists, mentions } from './steps.mjs';

export const servers = (dir) => ({
  'everything-2025': { command: process.execPath, args: [join(dir, 'node/node_modules/server-everything-2025/dist/index.js')] },
  'python-19': { command: join(dir, 'client-19/bin/python'), args: [fileURLToPath(new URL('servers/py19.py', import.meta.url))] },
  'rust-08': { command: join(dir, 'rust/debug/server-rmcp-08'), args: [] },
});

const counted = ({ result, progress }) =>
  progress.length >= 3 ? mentions('counted to four')(result) : `${progress.length} progress notifications of 4`;

const everything = [
  call('everything-2025', 'echo', { message: 'hello' }, mentions('Echo: hello')),
  call('everything-2025', 'add', { a: 2, b: 40 }, mentions('42')),
  call('everything-2025', 'getTinyImage', {}, mentions('image/png')),
  call('everything-2025', 'annotatedMessage', { messageType: 'error' }, mentions('annotations')),
  { ...call('everything-2025', 'sampleLLM', { prompt: 'say hello' }, mentions('sampled by the client')) },
  { id: 'the request for a sample that arrived', server: 'everything-2025', verb: 'asked', method: 'sampling/createMessage', check: mentions('say hello') },
  { id: 'an old server reports progress', server: 'everything-2025', verb: 'progress', name: 'longRunningOperation', arguments: { duration: 1, steps: 4 }, check: ({ result }) => mentions('completed')(result) },
  { id: 'call add with bad arguments', server: 'everything-2025', verb: 'call', name: 'add', arguments: { a: 'x' }, refused: true, alike: true },
  { id: 'read the last listed resource', server: 'everything-2025', verb: 'read', uri: 'test://static/resource/99', check: mentions('plaintext') },
  { id: 'read a binary resource', server: 'everything-2025', verb: 'read', uri: 'test://static/resource/2', check: mentions('blob') },
  { id: 'get a prompt with an image', server: 'everything-2025', verb: 'prompt', name: 'complex_prompt', arguments: { temperature: '1' }, check: mentions('image') },
  { id: 'set the level of an old server', server: 'everything-2025', verb: 'level', level: 'debug' },
  { id: 'it says so in its log', legacy: 'nobody sets the level of a server any more', server: 'everything-2025', verb: 'await', event: 'log', pattern: 'level set to', check: equals('seen') },
  {
    id: 'complete an argument of an old server', server: 'everything-2025', verb: 'complete', check: mentions('casual'),
    ref: { type: 'ref/prompt', name: 'complex_prompt' }, argument: { name: 'style', value: 'c' },
  },
];

const python = [
  call('python-19', 'py19_say', { text: 'grüße' }, mentions('grüße')),
  { id: 'Python 1.9 reports progress', server: 'python-19', verb: 'progress', name: 'py19_count', arguments: {}, check: counted },
  { id: 'Python 1.9 logs', server: 'python-19', verb: 'await', event: 'log', pattern: 'counting', check: equals('seen') },
  { ...call('python-19', 'py19_think', {}, mentions('sampled by the client')) },
  { id: 'call py19_say without its argument', server: 'python-19', verb: 'call', name: 'py19_say', arguments: {}, refused: true },
  { id: 'read a resource in Python', server: 'python-19', verb: 'read', uri: 'py19://note', check: mentions('a note in Python') },
  { id: 'read a resource of a template in Python', server: 'python-19', verb: 'read', uri: 'py19://double/21', check: mentions('42') },
  { id: 'get a prompt in Python', server: 'python-19', verb: 'prompt', name: 'py19_greet', arguments: { name: 'Ada' }, check: mentions('Greet Ada') },
];

const rust = [
  call('rust-08', 'rust08_say', { text: 'grüße' }, mentions('grüße')),
  { id: 'Rust 0.8 reports progress', server: 'rust-08', verb: 'progress', name: 'rust08_count', arguments: {}, check: counted },
  { ...call('rust-08', 'rust08_think', {}, mentions('sampled by the client')) },
  { id: 'call rust08_say without its argument', server: 'rust-08', verb: 'call', name: 'rust08_say', arguments: {}, refused: true },
  { id: 'read a resource in Rust', server: 'rust-08', verb: 'read', uri: 'rust08://note', check: mentions('a note in Rust') },
  { id: 'get a prompt in Rust', server: 'rust-08', verb: 'prompt', name: 'rust08_greet', arguments: { name: 'Ada' }, check: mentions('Greet Ada') },
];

export function steps() {
  const names = ['everything-2025', 'python-19', 'rust-08'];
  const hundred = (items) => (items.length === 100 ? null : `${items.length} resources instead of 100, on ten pages`);
  const wanted = (server, what) => (server === 'everything-2025' && what === 'resources' ? hundred : null);
  return [
    ...names.map((server) => ({ id: 'ping', server, verb: 'ping', legacy: 'ping is gone with sessions' })),
    ...lists(names, wanted),
    ...everything,
    ...python,
    ...rust,
  ];
}
