/** Keeps the messages of one context that may have to be resent after a reconnection. */

import { ProtocolError } from './errors.js';

/** @typedef {import('./wire.js').ContextMessage} ContextMessage */

/** A message is kept until text sent after it has been spoken: the server has received everything before that. */
export class ResendBuffer {
  /** The number of messages sent, as the server counts them. */
  count = 0;
  #chars = 0; // code points, as the protocol counts
  #spokenChars = 0;
  /** @type {{message: ContextMessage, endChar: number}[]} */
  #messages = [];

  get pendingChars() {
    return this.#chars - this.#spokenChars;
  }

  /** @param {ContextMessage} message */
  add(message) {
    if (message.type === 'ack') return; // not resent: a later one supersedes it
    if (message.type === 'text') this.#chars += [...message.text].length;
    this.count++;
    this.#messages.push({ message, endChar: this.#chars });
  }

  /** @param {number} endChar */
  markSpoken(endChar) {
    this.#spokenChars = Math.max(this.#spokenChars, endChar);
    const first = this.#messages.findIndex((entry) => entry.endChar >= this.#spokenChars);
    if (first > 0) this.#messages.splice(0, first);
  }

  /**
   * The messages that the server has not received, in order.
   * @param {number} taken
   */
  messagesAfter(taken) {
    const missing = this.count - taken;
    if (missing < 0 || missing > this.#messages.length) {
      throw new ProtocolError(`the server acknowledged ${taken} of ${this.count} messages, which is impossible`);
    }
    return this.#messages.slice(this.#messages.length - missing).map(({ message }) => message);
  }
}
