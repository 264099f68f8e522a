/** One WebSocket to a server: messages instead of frames, and our errors instead of events. Knows no context. */

import { ConnectionLost } from './errors.js';
import { decode, encode } from './wire.js';

/** @typedef {import('./wire.js').ServerMessage} ServerMessage */
/** @typedef {import('./wire.js').ReadyMessage} Ready */

const OPEN_MS = 10_000;
const BROKEN = 1006; // what a WebSocket says where no close code came

export class Connection {
  /** Fulfilled with `ready`, when it is there. @type {Promise<Ready>} */
  ready;
  /** Told of every message behind `ready`. @type {(message: ServerMessage) => void} */
  onMessage = () => {};
  /** Told once, when there is no more to come. @type {(error: Error) => void} */
  onLoss = () => {};

  #socket;
  #url;
  #open = false;
  #over = false;
  /** What the server said last of the session as a whole. @type {import('./wire.js').ErrorMessage | null} */
  #complaint = null;
  #settle;
  #timer;

  /** @param {WebSocket} socket @param {string} url */
  constructor(socket, url) {
    this.#socket = socket;
    this.#url = url;
    this.ready = new Promise((fulfil, reject) => (this.#settle = { fulfil, reject }));
    this.#timer = setTimeout(() => this.close(new ConnectionLost(`no answer from ${url}: is it the right address?`)), OPEN_MS);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#lose(this.#explain(event));
    // Node 20 tells of a failed opening only so; where `close` follows it has nothing to add.
    socket.onerror = () => this.#lose(this.#explain({ code: BROKEN, reason: '' }));
  }

  /** @param {import('./wire.js').ClientMessage} message */
  send(message) {
    if (!this.#over) this.#socket.send(encode(message));
  }

  /** `why` is what is told of the end, where it is not known yet. @param {Error} why @param {number} [code] */
  close(why, code = 1000) {
    this.#lose(why);
    this.#socket.close(code);
  }

  /** @param {string | ArrayBuffer} frame */
  #receive(frame) {
    if (this.#over) return;
    try {
      this.#take(decode(frame));
    } catch (error) {
      this.close(error, 3002);
    }
  }

  /** @param {ServerMessage} message */
  #take(message) {
    if (message.type === 'error' && !message.context_id) {
      this.#complaint = message;
    } else if (message.type === 'ready') {
      clearTimeout(this.#timer);
      this.#open = true;
      this.#settle.fulfil(message);
    } else {
      this.onMessage(message);
    }
  }

  /** @param {Error} error */
  #lose(error) {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#settle.reject(error);
    this.onLoss(error);
  }

  /** @param {{code: number, reason: string}} event */
  #explain({ code, reason }) {
    const why = this.#complaint?.message || reason;
    const more = { closeCode: code === BROKEN ? undefined : code, retryAfterMs: this.#complaint?.retry_after_ms };
    const told = this.#open
      ? `the connection to ${this.#url} was lost (${why || `close code ${code}`})`
      : why
        ? `${this.#url} refused the session: ${why}`
        : `no session with ${this.#url}: start a server with "sayline serve", and give the API key if it wants one`;
    return new ConnectionLost(told, more);
  }
}
