// An HTTP proxy in front of one MCP endpoint that records what passes.
//
// A message belongs to its session (`Mcp-Session-Id`, or the endpoint that HTTP+SSE names); a
// stateless request with its answer is a connection of its own. Streams go through piece by piece,
// and whoever closes is heard on the other side.

import { createServer, request as ask } from 'node:http';
import { Record, events } from './record.mjs';

const VERSION = 'io.modelcontextprotocol/protocolVersion';
/** They speak of one hop. */
const HOP = ['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'accept-encoding'];

export class Proxy {
  #record;
  #target;
  #judged;
  #server;
  #connections = 0;
  /** The event ids of each session; a stream that is taken up again repeats some. */
  #seen = new Map();
  /** Sessions of HTTP+SSE by the endpoint that they were given. */
  #endpoints = new Set();

  /** Listens in front of `target`; `judged` says on which side of it mcplex is. */
  static async open(target, file, judged) {
    const proxy = new Proxy();
    proxy.#target = new URL(target);
    proxy.#judged = judged;
    proxy.#record = new Record(file, judged);
    proxy.#server = createServer((request, response) => proxy.#serve(request, response));
    // Clients may keep a connection for as long as they want.
    Object.assign(proxy.#server, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 });
    await new Promise((resolve, reject) => proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** Where to reach the endpoint now. */
  get url() {
    const url = new URL(this.#target);
    url.port = String(this.#server.address().port);
    if (url.hostname === '[::1]') url.hostname = '127.0.0.1';
    return url.href;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #serve(request, response) {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    // Without an end there is nothing to pass on.
    request.on('error', () => response.destroy());
    request.on('end', () => this.#pass(request, Buffer.concat(pieces), response));
  }

  #pass(request, body, response) {
    const exchange = this.#exchange(request, body.toString('utf8'));
    const onward = ask({
      host: this.#target.hostname, port: this.#target.port, method: request.method, path: request.url,
      headers: this.#headers(request.rawHeaders, body), agent: false,
    });
    // Not the end of the answer but of the connection: nobody waits any more.
    response.on('close', () => onward.destroy());
    onward.on('error', () => response.destroy());
    onward.on('response', (answer) => {
      const hear = exchange.answered(answer);
      response.writeHead(answer.statusCode, answer.statusMessage, pairs(answer.rawHeaders).flat());
      response.flushHeaders();
      answer.on('data', (piece) => {
        hear.piece(piece);
        if (!response.write(piece)) answer.pause();
      });
      response.on('drain', () => answer.resume());
      answer.on('end', () => {
        hear.end();
        response.end();
      });
      answer.on('error', () => response.destroy());
    });
    onward.end(body);
  }

  /** The headers to send on: what names this proxy has to name the endpoint. */
  #headers(raw, body) {
    const { port } = this.#server.address();
    const own = new RegExp(`(localhost|127\\.0\\.0\\.1):${port}$`);
    const headers = pairs(raw).map(([name, value]) => [name, /^(host|origin)$/i.test(name) ? value.replace(own, this.#target.host) : value]);
    if (body.length > 0) headers.push(['content-length', String(body.length)]);
    return headers.flat();
  }

  /** One request with its answer: to which connection they belong, and what is said. */
  #exchange(request, text) {
    const isEndpoint = new URL(request.url, this.#target).pathname === this.#target.pathname;
    let connection = request.headers['mcp-session-id'] ?? (this.#endpoints.has(request.url) ? request.url : null);
    const says = (side, said) => {
      if (isEndpoint || this.#endpoints.has(connection)) this.#record.say(connection, side, said);
    };
    const isKnown = connection !== null && !isStateless(text);
    if (isKnown) says('client', text);
    return {
      answered: ({ headers }) => {
        if (!isKnown) {
          connection = (isStateless(text) ? null : headers['mcp-session-id']) ?? this.#other(text);
          says('client', text);
        }
        const kind = headers['content-type'] ?? '';
        if (kind.startsWith('text/event-stream')) {
          const piece = events((event) => {
            if (event.name === 'endpoint') this.#endpoints.add((connection = event.data));
            else if (this.#isNew(connection, event.id)) says('server', event.data);
          });
          return { piece, end: () => {} };
        }
        const pieces = [];
        const isMessage = kind.startsWith('application/json');
        return {
          piece: (one) => isMessage && pieces.push(one),
          end: () => says('server', Buffer.concat(pieces).toString('utf8')),
        };
      },
    };
  }

  /** The connection of what names no session: its own, or that of mcplex with a server without sessions. */
  #other(text) {
    if (this.#judged === 'client' && !isStateless(text)) return 'without a session';
    return (this.#connections += 1);
  }

  #isNew(connection, id) {
    if (id === null) return true;
    const seen = this.#seen.get(connection) ?? new Set();
    this.#seen.set(connection, seen);
    return !seen.has(id) && seen.add(id);
  }
}

const pairs = (raw) =>
  raw.flatMap((name, at) => (at % 2 === 0 && !HOP.includes(name.toLowerCase()) ? [[name, raw[at + 1]]] : []));

function isStateless(text) {
  if (!text.includes('protocolVersion')) return false;
  try {
    return JSON.parse(text)?.params?._meta?.[VERSION] !== undefined;
  } catch {
    return false;
  }
}
