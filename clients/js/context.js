/** One stream of speech in a session: text goes in, events come out. Knows no socket; `Session` carries its messages. */

import { SaylineError, contextFailed } from './errors.js';
import { Inbox } from './inbox.js';
import { Sent } from './sent.js';
import { speakable } from './wire.js';

/** @typedef {import('./inbox.js').Event} Event */
/** @typedef {import('./inbox.js').Cancelled} Cancelled */
/** @typedef {import('./frame.js').Frame} Frame */
/** @typedef {import('./wire.js').SegmentMessage} Segment */
/** @typedef {import('./wire.js').WordMessage} Word */
/** @typedef {import('./wire.js').ContextMessage} ContextMessage */
/** @typedef {string | Iterable<string> | AsyncIterable<string>} Writing a text, or one that is still being written */

const MAX_TEXT_CHARS = 4096; // in one message; a longer text goes out in several
const MAX_UNSPOKEN_CHARS = 50_000; // sent and not spoken yet: most of an hour; the server takes 100,000

/**
 * One stream of speech: text goes in, events come out of `for await`. It throws `ContextFailed` when the server gave
 * this context up, `ConnectionLost` when the session ended, each after the events that came before.
 */
export class Context {
  /** In the server's log it has this name. @type {string} */
  contextId;
  /** For the session. */
  sent = new Sent();

  #send;
  #inbox;
  /** What may still be sent: text, or only a cancel, or nothing. @type {'open' | 'ended' | 'cancelled'} */
  #state = 'open';
  /** @type {number | undefined} */
  #ackedMs;

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

  /** The last event has come, or the server is gone. */
  get over() {
    return this.#inbox.over;
  }

  /** Milliseconds of audio that have come. */
  get durationMs() {
    return this.#inbox.durationMs;
  }

  /** In the queue of a server that is full, or null; 1 is the next. */
  get place() {
    return this.#inbox.place;
  }

  /**
   * Speak all of a text and give the frames as they come. Leaving the loop early cancels the speech.
   * @param {Writing} text
   * @returns {AsyncGenerator<Frame>}
   */
  async *say(text) {
    this.feed(text);
    for await (const event of this) if (event.type === 'frame') yield event;
  }

  /**
   * Push all of a text in the background, then end. An error of its iterator comes out of the events.
   * @param {Writing} text
   */
  feed(text) {
    this.#pushAll(typeof text === 'string' ? [text] : text).catch((error) => {
      if (this.#state !== 'cancelled') this.#inbox.fail(error); // a text that was called off, too, may end so
    });
  }

  /**
   * Send a piece of text, cut anywhere: pieces are joined as they are, so spaces belong to the text.
   * @param {string} text
   */
  push(text) {
    this.#requireOpen('text');
    for (const part of parts(text)) this.#send({ type: 'text', context_id: this.contextId, text: part });
  }

  /**
   * Speak at once all that was pushed, without waiting for the end of a sentence; `flushed` tells when it was.
   * @param {string} [id] comes back in `flushed`
   */
  flush(id) {
    this.#requireOpen('flush');
    this.#send({ type: 'flush', context_id: this.contextId, id });
  }

  /** No more text will come: speak the rest, then `done`. */
  end() {
    this.#requireOpen('end');
    this.#state = 'ended';
    this.#send({ type: 'end', context_id: this.contextId });
  }

  /**
   * Tell how much of this context's audio has been heard, now and then: the server goes by the clock between. When
   * nobody needs to know any more, nothing is sent.
   * @param {number} playedMs
   */
  ack(playedMs) {
    this.#ackedMs = playedMs;
    if (this.over || this.#inbox.failure || this.#state === 'cancelled') return;
    this.#send({ type: 'ack', context_id: this.contextId, played_ms: playedMs });
  }

  /**
   * Be silent now, and tell what was heard when `playedMs` had been played. No frame comes out after this.
   *
   * Without `playedMs` the last `ack` counts, carried on by the clock. Where the server had said all already, or is
   * gone, the same is told from the words that came; then the last `ack` counts as it is, and without one all of it.
   * @param {number} [playedMs]
   * @returns {Promise<Cancelled>}
   */
  async cancel(playedMs) {
    this.#inbox.silence();
    if (!this.over && this.#state !== 'cancelled') {
      this.#state = 'cancelled';
      this.#send({ type: 'cancel', context_id: this.contextId, played_ms: playedMs });
    }
    while (!this.over) await this.#inbox.change();
    return this.#inbox.heard(playedMs ?? this.#ackedMs ?? Infinity);
  }

  /** @returns {AsyncGenerator<Event>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (let event = await this.#inbox.next(); event; event = await this.#inbox.next()) yield event;
    } finally {
      if (!this.over) this.cancel().catch(() => {}); // a session that is gone needs no cancel
    }
  }

  // For the session

  get lastSeq() {
    return this.#inbox.lastSeq;
  }

  /** It goes out now, or over the next connection. @param {ContextMessage} message */
  onSending(message) {
    this.sent.add(message);
    if (message.type === 'text') this.#inbox.transcript.add(message.text);
  }

  /** What the server said about this context. @param {import('./wire.js').ContextEvent} event */
  receive(event) {
    if (!this.#inbox.receive(event)) return;
    if (event.type === 'segment') this.sent.spoken(event.end_char);
    else if (event.type === 'done' || event.type === 'cancelled') this.#inbox.close();
    else if (event.type === 'error') this.#receiveError(event);
  }

  /** The server is gone. @param {Error} error */
  lose(error) {
    this.#inbox.close();
    this.#inbox.fail(error);
  }

  // What follows

  /** @param {import('./wire.js').ErrorMessage} error */
  #receiveError(error) {
    if (error.final) this.#inbox.close();
    else if (this.#state === 'cancelled') return;
    // Not final: a message of ours was refused, and the speech would have a hole there. The server goes on.
    this.#inbox.fail(contextFailed(error));
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text */
  async #pushAll(text) {
    for await (const piece of text) {
      for (const part of parts(piece)) {
        await this.#room();
        if (this.over || this.#state === 'cancelled') return; // which also tells the text's iterator to stop
        this.push(part);
      }
    }
    if (!this.over && this.#state === 'open') this.end();
  }

  async #room() {
    const inbox = this.#inbox;
    while (this.sent.unspokenChars > MAX_UNSPOKEN_CHARS && !inbox.over && !inbox.failure) await inbox.change();
  }

  /** @param {string} wish */
  #requireOpen(wish) {
    if (this.#inbox.failure) throw this.#inbox.failure;
    if (this.over || this.#state !== 'open') {
      const state = this.over ? 'over' : this.#state;
      throw new SaylineError(`${this.contextId} is ${state} and takes no ${wish}: open another context`);
    }
  }
}

/** As much of a text as goes into one message, again and again; never half of a character. @param {string} text */
function* parts(text) {
  if (typeof text !== 'string') throw new TypeError(`text must be a string, not ${typeof text}`);
  const chars = [...speakable(text)];
  for (let at = 0; at < chars.length; at += MAX_TEXT_CHARS) yield chars.slice(at, at + MAX_TEXT_CHARS).join('');
}
