/** One WebSocket to a server: messages instead of frames, and our errors instead of events. Knows no context. */

import { ConnectionLost, ProtocolError, Refused } from './errors.js';
import { decode, encode } from './wire.js';

/** @typedef {import('./wire.js').ServerMessage} ServerMessage */
/** @typedef {import('./wire.js').ReadyMessage} Ready */

const OPEN_MS = 10_000;
const BROKEN = 1006; // what a WebSocket says where no close code came

export class Connection {
  /** Fulfilled with `ready`, when it is there. @type {Promise<Ready>} */
  ready;
  /** Told of every message behind `ready`, which is the first. @type {(message: ServerMessage) => void} */
  onMessage = () => {};
  /** Told once, when there is no more to come. @type {(error: Error) => void} */
  onLoss = () => {};

  #socket;
  #url;
  #open = false;
  #over = false;
  /** What the server said last of the session as a whole. @type {import('./wire.js').ErrorMessage | null} */
  #complaint = null;
  /** @type {{fulfil: (ready: Ready) => void, reject: (error: Error) => void}} */
  #settle;
  #timer;

  /** @param {WebSocket} socket @param {string} url */
  constructor(socket, url) {
    this.#socket = socket;
    this.#url = url;
    this.ready = new Promise((fulfil, reject) => (this.#settle = { fulfil, reject }));
    this.#timer = setTimeout(() => this.close(new Refused(`no answer from ${url}: is it the right address?`)), OPEN_MS);
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
    try {
      this.#take(decode(frame));
    } catch (error) {
      this.close(/** @type {Error} */ (error), 3002);
    }
  }

  /** @param {ServerMessage} message */
  #take(message) {
    const complaint = message.type === 'error' && !message.context_id ? message : null;
    if (this.#open) {
      this.#complaint = complaint ?? this.#complaint;
      this.onMessage(message);
    } else if (complaint) {
      const retryAfterMs = complaint.retry_after_ms ?? undefined;
      this.close(new Refused(`${this.#url} refused the session: ${complaint.message}`, retryAfterMs));
    } else if (message.type !== 'ready') {
      throw new ProtocolError(`${this.#url} said ${message.type} instead of ready`);
    } else {
      clearTimeout(this.#timer);
      this.#open = true;
      this.#settle.fulfil(message);
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
    const broken = code === BROKEN;
    const why = this.#complaint?.message || reason || (broken ? 'without a word' : `close code ${code}`);
    if (this.#open) {
      const more = { closeCode: broken ? undefined : code, retryAfterMs: this.#complaint?.retry_after_ms ?? undefined };
      return new ConnectionLost(`the connection to ${this.#url} was lost (${why})`, more);
    }
    if (!broken) return new Refused(`${this.#url} closed the session at once (${why}): try again`);
    const advice = 'start a server with "sayline serve", and give the API key if it wants one';
    return new Refused(`no session with ${this.#url}: ${advice}`); // browsers do not tell which of them
  }
}
