/** One WebSocket connection to a server; converts frames to messages and socket events to errors. */

import { ConnectionLost, ProtocolError, Refused } from './errors.js';
import { decode, encode } from './wire.js';

/** @typedef {import('./wire.js').ServerMessage} ServerMessage */
/** @typedef {import('./wire.js').ReadyMessage} Ready */

const OPEN_TIMEOUT_MS = 10_000;
const NO_CLOSE_CODE = 1006; // reported by a WebSocket that received no close code

export class Connection {
  /** Resolves with the `ready` message. @type {Promise<Ready>} */
  ready;
  /** Called with every message after `ready`. @type {(message: ServerMessage) => void} */
  onMessage = () => {};
  /** Called once, when the connection has ended. @type {(error: Error) => void} */
  onLoss = () => {};

  #socket;
  #url;
  #isOpen = false;
  #isOver = false;
  /** The server's latest error about the whole session. @type {import('./wire.js').ErrorMessage | null} */
  #sessionError = null;
  /** @type {{fulfil: (ready: Ready) => void, reject: (error: Error) => void}} */
  #settle;
  #timer;

  /** @param {WebSocket} socket @param {string} url */
  constructor(socket, url) {
    this.#socket = socket;
    this.#url = url;
    this.ready = new Promise((fulfil, reject) => (this.#settle = { fulfil, reject }));
    const timeout = () => this.close(new Refused(`no answer from ${url}: check the address`));
    this.#timer = setTimeout(timeout, OPEN_TIMEOUT_MS);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#onEnd(this.#explain(event));
    // Node 20 reports a failed handshake only here. Elsewhere `close` follows, with nothing to add.
    socket.onerror = () => this.#onEnd(this.#explain({ code: NO_CLOSE_CODE, reason: '' }));
  }

  /** @param {import('./wire.js').ClientMessage} message */
  send(message) {
    if (!this.#isOver) this.#socket.send(encode(message));
  }

  /** Close the connection, with the error to report for it. @param {Error} reason @param {number} [code] */
  close(reason, code = 1000) {
    this.#onEnd(reason);
    this.#socket.close(code);
  }

  /** @param {string | ArrayBuffer} frame */
  #receive(frame) {
    try {
      this.#handle(decode(frame));
    } catch (error) {
      this.close(/** @type {Error} */ (error), 3002);
    }
  }

  /** @param {ServerMessage} message */
  #handle(message) {
    const sessionError = message.type === 'error' && !message.context_id ? message : null;
    if (this.#isOpen) {
      this.#sessionError = sessionError ?? this.#sessionError;
      this.onMessage(message);
    } else if (sessionError) {
      const retryAfterMs = sessionError.retry_after_ms ?? undefined;
      const message = `${this.#url} refused the session: ${sessionError.message}`;
      this.close(new Refused(message, retryAfterMs, true));
    } else if (message.type !== 'ready') {
      throw new ProtocolError(`${this.#url} sent ${message.type} instead of ready`);
    } else {
      clearTimeout(this.#timer);
      this.#isOpen = true;
      this.#settle.fulfil(message);
    }
  }

  /** @param {Error} error */
  #onEnd(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#settle.reject(error);
    this.onLoss(error);
  }

  /** @param {{code: number, reason: string}} event */
  #explain({ code, reason }) {
    const hasNoCode = code === NO_CLOSE_CODE;
    const why = this.#sessionError?.message || reason || (hasNoCode ? 'without a close frame' : `close code ${code}`);
    if (this.#isOpen) {
      const retryAfterMs = this.#sessionError?.retry_after_ms ?? undefined;
      const fields = { closeCode: hasNoCode ? undefined : code, retryAfterMs };
      return new ConnectionLost(`the connection to ${this.#url} was lost (${why})`, fields);
    }
    if (!hasNoCode) return new Refused(`${this.#url} closed the session at once (${why}): try again`, undefined, true);
    const advice = 'start a server with "sayline serve", and give the API key if it wants one';
    return new Refused(`no session with ${this.#url}: ${advice}`); // browsers do not report which
  }
}
