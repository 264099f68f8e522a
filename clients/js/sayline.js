/**
 * Speech while the text is still being written: the client of a Sayline server, for browsers and Node.
 *
 *     const server = await connect('ws://127.0.0.1:8000');
 *     for await (const frame of server.context().say(words())) play(frame.pcm);
 *
 * Node before 22 has no WebSocket of its own: start it with --experimental-websocket, or pass `{ WebSocket }`.
 */

import { KEY_SUBPROTOCOL, ProtocolError, SUBPROTOCOL, decode, encode } from './wire.js';

export { ProtocolError };

/** @typedef {import('./wire.js').ReadyMessage} Ready */
/** @typedef {import('./wire.js').SegmentMessage} Segment */
/** @typedef {import('./wire.js').LastMessage} Last */
/** @typedef {{type: 'frame', seq: number, start_ms: number, format: string, data: Uint8Array, pcm: Int16Array}} Frame */
/** @typedef {Frame | Segment | Last} Event a `cancelled` or `done` is the last */
/** @typedef {{voice?: string, format?: 'pcm' | 'opus', seed?: number, temperature?: number, maxLeadMs?: number}} Wish */

/** The root of all errors of this package, `ProtocolError` apart. */
export class SaylineError extends Error {
  name = 'SaylineError';
}

/** The session ended, or never began. */
export class ConnectionLost extends SaylineError {
  name = 'ConnectionLost';
}

/** The server gave up one context; the session and its other contexts go on. `code` is for programs. */
export class ContextFailed extends SaylineError {
  name = 'ContextFailed';

  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Frames that wait for their reader. The server sends no faster than speech is heard, plus the lead, so only a reader
// that has stopped reading gets this far: 28 MB of PCM.
const MAX_WAITING_MS = 600_000;
const MAX_TEXT_CHARACTERS = 4096; // in one message; a longer text goes out in several

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
  context({ voice, format = 'pcm', seed, temperature, maxLeadMs } = {}) {
    const context_id = `speech-${++this.#count}`;
    const context = new Context(context_id, format, this.ready, (message) => this.#send(message));
    if (this.#loss) throw this.#loss;
    this.#contexts.set(context_id, context);
    this.#send({ type: 'start', context_id, voice, format, seed, temperature, max_lead_ms: maxLeadMs });
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

/**
 * One stream of speech: text goes in, events come out of `for await`. It throws `ContextFailed` when the server gave
 * this context up, `ConnectionLost` when the session ended, each after the events that came before.
 */
export class Context {
  /** Milliseconds of audio that have come. */
  durationMs = 0;
  over = false;

  #id;
  #format;
  #ready;
  #send;
  /** @type {Event[]} */
  #events = [];
  #waitingFrames = 0;
  /** @type {Error | null} */
  #failure = null;
  /** What may still be sent: text, or only a cancel, or nothing. @type {'open' | 'ended' | 'cancelled'} */
  #state = 'open';
  /** @type {(() => void)[]} */
  #wakers = [];

  /**
   * @param {string} id
   * @param {string} format
   * @param {Ready} ready
   * @param {(message: import('./wire.js').ClientMessage) => void} send
   */
  constructor(id, format, ready, send) {
    this.#id = id;
    this.#format = format;
    this.#ready = ready;
    this.#send = send;
  }

  /**
   * Speak all of a text, be it a string or one that is still being written, and give the frames as they come.
   * Leaving the loop early cancels the speech.
   * @param {string | Iterable<string> | AsyncIterable<string>} text
   * @returns {AsyncGenerator<Frame>}
   */
  async *say(text) {
    this.feed(text);
    for await (const event of this) if (event.type === 'frame') yield event;
  }

  /**
   * Push all of a text in the background, then end. An error of its iterator comes out of the events.
   * @param {string | Iterable<string> | AsyncIterable<string>} text
   */
  feed(text) {
    this.#pushAll(typeof text === 'string' ? [text] : text).catch((error) => this.#fail(error));
  }

  /**
   * Send a piece of text, cut anywhere: pieces are joined as they are, so spaces belong to the text.
   * @param {string} text
   */
  push(text) {
    if (typeof text !== 'string') throw new TypeError(`text must be a string, not ${typeof text}`);
    this.#require('open', 'text');
    const characters = [...text]; // never half of one
    for (let at = 0; at < characters.length; at += MAX_TEXT_CHARACTERS) {
      const piece = characters.slice(at, at + MAX_TEXT_CHARACTERS).join('');
      this.#send({ type: 'text', context_id: this.#id, text: piece });
    }
  }

  /** Speak at once all that was pushed, without waiting for the end of a sentence. */
  flush() {
    this.#require('open', 'flush');
    this.#send({ type: 'flush', context_id: this.#id });
  }

  /** No more text will come: speak the rest, then `done`. */
  end() {
    this.#require('open', 'end');
    this.#state = 'ended';
    this.#send({ type: 'end', context_id: this.#id });
  }

  /**
   * Be silent now. No frame comes out after this.
   * @returns {Promise<number>} the milliseconds of audio that the server had sent
   */
  async cancel() {
    if (!this.over && this.#state !== 'cancelled') {
      this.#state = 'cancelled';
      this.#events = this.#events.filter((event) => event.type !== 'frame');
      this.#waitingFrames = 0;
      this.#send({ type: 'cancel', context_id: this.#id });
    }
    while (!this.over) await this.#change();
    return this.durationMs;
  }

  /** @returns {AsyncGenerator<Event>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const event = this.#events.shift();
        if (event) {
          if (event.type === 'frame') this.#waitingFrames--;
          yield event;
        } else if (this.#failure) {
          throw this.#failure;
        } else if (this.over) {
          return;
        } else {
          await this.#change();
        }
      }
    } finally {
      if (!this.over) this.cancel().catch(() => {}); // a session that is gone needs no cancel
    }
  }

  /**
   * What the server said about this context. Called by the session.
   * @param {import('./wire.js').ServerMessage} message
   */
  receive(message) {
    if (message.type === 'audio') {
      this.#receiveAudio(message);
    } else if (message.type === 'segment') {
      this.#events.push(message);
    } else if (message.type === 'done' || message.type === 'cancelled') {
      this.durationMs = message.duration_ms;
      this.over = true;
      this.#events.push(message);
    } else if (message.type === 'error') {
      this.over = message.final;
      // Not final: a message of ours was refused, and the speech would have a hole there.
      if (message.final || this.#state !== 'cancelled') this.#fail(new ContextFailed(message.code, message.message));
    }
    this.#wake();
  }

  /** The server is gone. @param {Error} error */
  lose(error) {
    this.over = true;
    this.#fail(error);
  }

  /** @param {import('./wire.js').AudioMessage} audio */
  #receiveAudio({ seq, start_sample, data }) {
    const start_ms = (start_sample * 1000) / this.#ready.sample_rate_hz;
    this.durationMs = start_ms + this.#ready.frame_ms;
    if (this.#state === 'cancelled' || this.#failure) return;
    const format = this.#format;
    this.#events.push({ type: 'frame', seq, start_ms, format, data, get pcm() { return samples(format, data); } });
    if (++this.#waitingFrames * this.#ready.frame_ms > MAX_WAITING_MS) {
      this.#fail(new ContextFailed('slow_reader', 'too much audio waits to be read: read it sooner'));
    }
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text */
  async #pushAll(text) {
    for await (const piece of text) {
      if (this.over || this.#state === 'cancelled') return; // which also tells the text's iterator to stop
      this.push(piece);
    }
    if (!this.over && this.#state === 'open') this.end();
  }

  /** @param {'open'} state @param {string} wish */
  #require(state, wish) {
    if (this.#failure) throw this.#failure;
    if (this.over || this.#state !== state) {
      throw new SaylineError(`${this.#id} is ${this.over ? 'over' : this.#state} and takes no ${wish}: open another context`);
    }
  }

  /** @param {Error} error */
  #fail(error) {
    this.#failure ??= error;
    this.#wake();
  }

  #change() {
    return new Promise((wake) => this.#wakers.push(() => wake(undefined)));
  }

  #wake() {
    for (const wake of this.#wakers.splice(0)) wake();
  }
}

/**
 * 16-bit samples, whatever byte order this machine has and wherever the bytes lie.
 * @param {string} format @param {Uint8Array} data
 */
function samples(format, data) {
  if (format !== 'pcm') throw new SaylineError(`this frame is ${format}: ask for PCM with context({ format: 'pcm' })`);
  const bytes = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Int16Array.from({ length: data.byteLength >> 1 }, (_, n) => bytes.getInt16(2 * n, true));
}
