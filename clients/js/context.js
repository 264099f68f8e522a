/** A context: one stream of speech in a session. `Session` sends and receives its messages. */

import { SaylineError, contextFailed } from './errors.js';
import { Inbox } from './inbox.js';
import { ResendBuffer } from './resend_buffer.js';
import { withoutSurrogates } from './wire.js';

/** @typedef {import('./inbox.js').Event} Event */
/** @typedef {import('./inbox.js').Cancelled} Cancelled */
/** @typedef {import('./frame.js').Frame} Frame */
/** @typedef {import('./wire.js').SegmentMessage} Segment */
/** @typedef {import('./wire.js').WordMessage} Word */
/** @typedef {import('./wire.js').ContextMessage} ContextMessage */
/**
 * A text, or one that is still being written.
 * @typedef {string | Iterable<string> | AsyncIterable<string>} Writing
 */

const MAX_TEXT_CHARS = 4096; // in one message; a longer text is split
const MAX_PENDING_CHARS = 50_000; // sent but not spoken yet: most of an hour; the server accepts 100,000

/**
 * One stream of speech: push text, and iterate over the events. The iterator throws `ContextFailed` if the server gave
 * up this context and `ConnectionLost` if the session ended, each after the events received before.
 */
export class Context {
  /** Names the context in the server's log. @type {string} */
  contextId;
  /** Used by the session to resend messages after a reconnection. */
  resendBuffer = new ResendBuffer();

  #send;
  #inbox;
  /** Whether text may still be sent, only a cancel, or nothing. @type {'open' | 'ended' | 'cancelled'} */
  #state = 'open';
  /** @type {number | undefined} */
  #ackedMs;
  /** @type {import('./wire.js').StartMessage} */
  #start;

  /**
   * @param {string} id
   * @param {'pcm' | 'opus'} format
   * @param {import('./wire.js').ReadyMessage} ready
   * @param {(message: ContextMessage) => void} send
   */
  constructor(id, format, ready, send) {
    this.contextId = id;
    this.#send = send;
    this.#inbox = new Inbox(id, format, ready);
  }

  /** Whether the last event was received or the connection is lost for good. */
  get over() {
    return this.#inbox.over;
  }

  /** Milliseconds of audio received. */
  get durationMs() {
    return this.#inbox.durationMs;
  }

  /** The position in the queue of a full server, or null; 1 is the next. */
  get place() {
    return this.#inbox.place;
  }

  /**
   * Speak a whole text and yield its audio frames. Leaving the loop early cancels the speech.
   * @param {Writing} text
   * @returns {AsyncGenerator<Frame>}
   */
  async *say(text) {
    this.feed(text);
    for await (const event of this) if (event.type === 'frame') yield event;
  }

  /**
   * Push a whole text in the background, then end. An error of its iterator is thrown by the event iterator.
   * @param {Writing} text
   */
  feed(text) {
    this.#pushAll(typeof text === 'string' ? [text] : text).catch((error) => {
      if (this.#state !== 'cancelled') this.#inbox.fail(error); // a cancelled text may fail as a consequence
    });
  }

  /**
   * Send a piece of text, split anywhere: pieces are joined as they are, so they include the spaces.
   * @param {string} text
   */
  push(text) {
    this.#requireOpen('text');
    for (const part of splitText(text)) this.#send({ type: 'text', context_id: this.contextId, text: part });
  }

  /**
   * Speak all text pushed so far without waiting for the end of a sentence. A `flushed` event confirms it.
   * @param {string} [id] returned in `flushed`
   */
  flush(id) {
    this.#requireOpen('flush');
    this.#send({ type: 'flush', context_id: this.contextId, id });
  }

  /** End the text: the rest is spoken, then `done` follows. */
  end() {
    this.#requireOpen('end');
    this.#state = 'ended';
    this.#send({ type: 'end', context_id: this.contextId });
  }

  /**
   * Report how much of this context's audio has been played. Between reports the server extrapolates. Not sent once the
   * context is over.
   * @param {number} playedMs
   */
  ack(playedMs) {
    this.#ackedMs = playedMs;
    if (this.over || this.#inbox.failure || this.#state === 'cancelled') return;
    this.#send({ type: 'ack', context_id: this.contextId, played_ms: playedMs });
  }

  /**
   * Stop the speech and return what was heard when `playedMs` had been played. No frame is yielded after this.
   *
   * Without `playedMs` the server uses the last `ack`, extrapolated. If the context is over or the connection lost, the
   * result is computed here from the words received: up to the last `ack`, or all of them without one.
   * @param {number} [playedMs]
   * @returns {Promise<Cancelled>}
   */
  async cancel(playedMs) {
    this.#inbox.dropAudio();
    if (!this.over && this.#state !== 'cancelled') {
      this.#state = 'cancelled';
      this.#send({ type: 'cancel', context_id: this.contextId, played_ms: playedMs });
    }
    while (!this.over) await this.#inbox.nextChange();
    return this.#inbox.heardSplit(playedMs ?? this.#ackedMs ?? Infinity);
  }

  /** @returns {AsyncGenerator<Event>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (let event = await this.#inbox.next(); event; event = await this.#inbox.next()) yield event;
    } finally {
      if (!this.over) this.cancel().catch(() => {}); // a closed session needs no cancel
    }
  }

  // Called by the session

  get lastSeq() {
    return this.#inbox.lastSeq;
  }

  /** Record a message that is about to be sent, now or after a reconnection. @param {ContextMessage} message */
  recordSent(message) {
    this.resendBuffer.add(message);
    if (message.type === 'start') this.#start = message;
    if (message.type === 'text') this.#inbox.transcript.addText(message.text);
  }

  /** What a server needs to go on with this context that knows nothing of it. */
  restart() {
    const spokenChars = Math.max(this.resendBuffer.spokenChars, this.#inbox.transcript.wholeChars(this.durationMs));
    const progress = this.#inbox.continueAfter(spokenChars);
    return this.resendBuffer.restart({ ...this.#start, progress }, spokenChars);
  }

  /** Handle an event of this context. @param {import('./wire.js').ContextEvent} event */
  receive(event) {
    if (!this.#inbox.receive(event)) return;
    if (event.type === 'segment') this.resendBuffer.markSpoken(event.end_char);
    else if (event.type === 'flushed') this.resendBuffer.markFlushed();
    else if (event.type === 'done' || event.type === 'cancelled') this.#inbox.close();
    else if (event.type === 'error') this.#onError(event);
  }

  /** End the context, because the connection is lost for good. @param {Error} error */
  onConnectionLost(error) {
    this.#inbox.close();
    this.#inbox.fail(error);
  }


  /** @param {import('./wire.js').ErrorMessage} error */
  #onError(error) {
    if (error.final) this.#inbox.close();
    else if (this.#state === 'cancelled') return;
    // Not final: the server refused one message and goes on, but the speech would have a gap there.
    this.#inbox.fail(contextFailed(error));
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text */
  async #pushAll(text) {
    for await (const piece of text) {
      for (const part of splitText(piece)) {
        await this.#waitForRoom();
        if (this.over || this.#state === 'cancelled') return; // also closes the text's iterator
        this.push(part);
      }
    }
    if (!this.over && this.#state === 'open') this.end();
  }

  async #waitForRoom() {
    const inbox = this.#inbox;
    const isFull = () => this.resendBuffer.pendingChars > MAX_PENDING_CHARS;
    while (isFull() && !inbox.over && !inbox.failure) await inbox.nextChange();
  }

  /** @param {string} action */
  #requireOpen(action) {
    if (this.#inbox.failure) throw this.#inbox.failure;
    if (this.over || this.#state !== 'open') {
      const state = this.over ? 'over' : this.#state;
      throw new SaylineError(`cannot send ${action}: ${this.contextId} is ${state}; open another context`);
    }
  }
}

/** Split a text into parts that fit into one message, between code points. @param {string} text */
function* splitText(text) {
  if (typeof text !== 'string') throw new TypeError(`text must be a string, not ${typeof text}`);
  const chars = [...withoutSurrogates(text)];
  for (let at = 0; at < chars.length; at += MAX_TEXT_CHARS) yield chars.slice(at, at + MAX_TEXT_CHARS).join('');
}
