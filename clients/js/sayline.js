/**
 * Speech while the text is still being written: the client of a Sayline server, for browsers and Node.
 *
 *     const server = await connect('ws://127.0.0.1:8000');
 *     for await (const frame of server.context().say(words())) play(frame.pcm);
 *
 * Node before 22 has no WebSocket of its own: start it with --experimental-websocket, or pass `{ WebSocket }`.
 */

import { Context } from './context.js';
import { ConnectionLost, ContextFailed, ProtocolError, SaylineError } from './errors.js';
import { KEY_SUBPROTOCOL, SUBPROTOCOL, decode, encode } from './wire.js';

export { ConnectionLost, Context, ContextFailed, ProtocolError, SaylineError };

/** @typedef {import('./wire.js').ReadyMessage} Ready */
/**
 * @typedef {{voice?: string, format?: 'pcm' | 'opus', seed?: number, temperature?: number, maxLeadMs?: number,
 *   wait?: boolean}} Wish `wait`: whether to queue up where the server is full (`queued` tells the place), or to fail at
 *   once with `retryAfterMs`
 */

/**
 * Open a session.
 * @param {string} url the server's address, or its page's
 * @param {{apiKey?: string, WebSocket?: typeof globalThis.WebSocket}} [options]
 * @returns {Promise<Session>}
 * @throws {ConnectionLost} when there is none to be had
 */
export async function connect(url, { apiKey, WebSocket = globalThis.WebSocket } = {}) {
  if (!WebSocket) throw new SaylineError('no WebSocket here: use Node 22, or 20 with --experimental-websocket');
  const subprotocols = apiKey ? [SUBPROTOCOL, KEY_SUBPROTOCOL + apiKey] : [SUBPROTOCOL];
  const session = new Session(new WebSocket(streamAddress(url), subprotocols), url);
  await session.opened;
  return session;
}

/**
 * The address of the stream for what people write.
 * @param {string} url
 */
export function streamAddress(url) {
  let address;
  try {
    address = new URL(url);
  } catch {
    address = null;
  }
  if (!address || !/^(ws|http)s?:$/.test(address.protocol)) {
    throw new SaylineError(`"${url}" is not the address of a server: write it like ws://127.0.0.1:8000`);
  }
  address.protocol = address.protocol.replace('http', 'ws');
  if (address.pathname === '/') address.pathname = '/v1/stream';
  address.hash = '';
  return address.href;
}

/** One WebSocket to a server, with any number of contexts in it. Made by `connect`. */
export class Session {
  /** @type {Ready} */
  ready;
  /** Fulfilled with `ready`, when it is there. @type {Promise<Ready>} */
  opened;
  /** Fulfilled when the session is over, with why. @type {Promise<ConnectionLost | ProtocolError>} */
  closed;

  #socket;
  #url;
  /** @type {Map<string, Context>} */
  #contexts = new Map();
  #count = 0;
  #complaint = '';
  /** @type {ConnectionLost | ProtocolError | null} */
  #loss = null;
  #settle;

  /** @param {WebSocket} socket @param {string} url */
  constructor(socket, url) {
    this.#socket = socket;
    this.#url = url;
    this.opened = new Promise((fulfil, reject) => {
      this.closed = new Promise((over) => {
        this.#settle = { open: fulfil, close: (error) => (reject(error), over(error)) };
      });
    });
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#lose(this.#explain(event));
    // Node 20 tells of a failed opening only so; where `close` follows it has nothing to add.
    socket.onerror = () => this.#lose(this.#explain({ code: 1006, reason: '' }));
  }

  /**
   * A stream of speech. What is left out is the server's choice.
   * @param {Wish} [wish]
   */
  context({ voice, format = 'pcm', seed, temperature, maxLeadMs, wait } = {}) {
    const context_id = `speech-${++this.#count}`;
    const context = new Context(context_id, format, this.ready, (message) => this.#send(message));
    if (this.#loss) throw this.#loss;
    this.#contexts.set(context_id, context);
    this.#send({ type: 'start', context_id, voice, format, seed, temperature, max_lead_ms: maxLeadMs, wait });
    return context;
  }

  close() {
    this.#socket.close(1000);
  }

  /** @param {import('./wire.js').ClientMessage} message */
  #send(message) {
    if (this.#loss) throw this.#loss;
    this.#socket.send(encode(message));
  }

  /** @param {string | ArrayBuffer} frame */
  #receive(frame) {
    let message;
    try {
      message = decode(frame);
    } catch (error) {
      this.#lose(error);
      this.#socket.close(3002, 'not a Sayline message');
      return;
    }
    if (message === null) return;
    if (message.type === 'ready') {
      this.ready = message;
      this.#settle.open(message);
    } else if (message.type === 'error' && message.context_id === undefined) {
      this.#complaint = message.message;
    } else {
      const context = this.#contexts.get(message.context_id);
      context?.receive(message);
      if (context?.over) this.#contexts.delete(message.context_id);
    }
  }

  /** @param {ConnectionLost | ProtocolError} error */
  #lose(error) {
    if (this.#loss) return;
    this.#loss = error;
    for (const context of this.#contexts.values()) context.lose(error);
    this.#contexts.clear();
    this.#settle.close(error);
  }

  /** @param {{code: number, reason: string}} event */
  #explain({ code, reason }) {
    const why = this.#complaint || reason;
    if (this.ready) return new ConnectionLost(`the connection to ${this.#url} was lost (${why || `close code ${code}`})`);
    if (why) return new ConnectionLost(`${this.#url} refused the session: ${why}`);
    return new ConnectionLost(
      `no session with ${this.#url}: start a server with "sayline serve", and give the API key if it wants one`,
    );
  }
}
