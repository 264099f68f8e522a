/** What was said of one context, as far as the server may not have taken it. Told what was sent and what was spoken. */

import { ProtocolError } from './errors.js';

/** @typedef {import('./wire.js').ContextMessage} ContextMessage */

/** Keeps what may have to be said again. Text of which some was spoken was taken, and so was all before it. */
export class Sent {
  /** Of the messages that the server counts. */
  count = 0;
  #chars = 0; // as the protocol counts them: code points
  #spokenChars = 0;
  /** @type {{message: ContextMessage, endChar: number}[]} */
  #kept = [];

  get unspokenChars() {
    return this.#chars - this.#spokenChars;
  }

  /** @param {ContextMessage} message */
  add(message) {
    if (message.type === 'ack') return; // a later one will say more
    if (message.type === 'text') this.#chars += [...message.text].length;
    this.count++;
    this.#kept.push({ message, endChar: this.#chars });
  }

  /** @param {number} endChar */
  spoken(endChar) {
    this.#spokenChars = Math.max(this.#spokenChars, endChar);
    const first = this.#kept.findIndex((one) => one.endChar >= this.#spokenChars);
    if (first > 0) this.#kept.splice(0, first);
  }

  /**
   * What the server has not taken, in order.
   * @param {number} taken
   */
  after(taken) {
    const missing = this.count - taken;
    if (missing < 0 || missing > this.#kept.length) {
      throw new ProtocolError(`the server says that it took ${taken} of ${this.count} messages, which cannot be`);
    }
    return this.#kept.slice(this.#kept.length - missing).map(({ message }) => message);
  }
}
