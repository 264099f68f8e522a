/** Keeps the messages of one context that may have to be resent after a reconnection. */

import { ProtocolError } from './errors.js';

/** @typedef {import('./wire.js').ContextMessage} ContextMessage */

/** A message is kept until text sent after it has been spoken: the server has received everything before that. */
export class ResendBuffer {
  /** The number of messages sent, as the server counts them. */
  count = 0;
  #chars = 0; // code points, as the protocol counts
  /** The server has received all before that. */
  spokenChars = 0;
  #flushes = 0; // since the last `start`
  #answeredFlushes = 0;
  /** @type {{message: ContextMessage, endChar: number}[]} */
  #messages = [];

  get pendingChars() {
    return this.#chars - this.spokenChars;
  }

  /** @param {ContextMessage} message */
  add(message) {
    if (message.type === 'ack') return; // not resent: a later one supersedes it
    if (message.type === 'text') this.#chars += [...message.text].length;
    if (message.type === 'flush') this.#flushes++;
    this.count++;
    this.#messages.push({ message, endChar: this.#chars });
  }

  /** @param {number} endChar */
  markSpoken(endChar) {
    this.spokenChars = Math.max(this.spokenChars, endChar);
    const first = this.#messages.findIndex((entry) => entry.endChar >= this.spokenChars);
    if (first > 0) this.#messages.splice(0, first);
  }

  /** The oldest flush that was not answered has been. */
  markFlushed() {
    this.#answeredFlushes++;
  }

  /**
   * What a server needs that knows nothing of the context, to go on behind its first `spokenChars`. The messages are
   * counted anew from here on.
   * @param {import('./wire.js').StartMessage} start
   * @param {number} spokenChars
   * @returns {ContextMessage[]}
   */
  restart(start, spokenChars) {
    this.markSpoken(spokenChars);
    const isFlush = (/** @type {{message: ContextMessage}} */ { message }) => message.type === 'flush';
    let answered = this.#answeredFlushes - (this.#flushes - this.#messages.filter(isFlush).length);
    /** @type {{message: ContextMessage, endChar: number}[]} */
    const kept = [{ message: start, endChar: spokenChars }];
    for (const { message, endChar } of this.#messages) {
      if (message.type === 'start' || (message.type === 'flush' && answered-- > 0)) continue;
      if (message.type !== 'text') kept.push({ message, endChar });
      else if (endChar > spokenChars) {
        const chars = [...message.text];
        const text = chars.slice(Math.max(0, spokenChars - (endChar - chars.length))).join('');
        kept.push({ message: { ...message, text }, endChar });
      }
    }
    this.#messages = kept;
    this.count = kept.length;
    this.#flushes = kept.filter(isFlush).length;
    this.#answeredFlushes = 0;
    return kept.map(({ message }) => message);
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
