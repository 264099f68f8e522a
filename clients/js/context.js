/** One stream of speech in a session: text goes in, events come out. Knows no socket; `Session` carries its messages. */

import { ContextFailed, SaylineError } from './errors.js';

/** @typedef {import('./wire.js').ReadyMessage} Ready */
/** @typedef {import('./wire.js').SegmentMessage} Segment */
/** @typedef {import('./wire.js').LastMessage} Last */
/** @typedef {{type: 'frame', seq: number, start_ms: number, format: string, data: Uint8Array, pcm: Int16Array}} Frame */
/** @typedef {import('./wire.js').QueuedMessage} Queued */
/** @typedef {Queued | Frame | Segment | Last} Event a `cancelled` or `done` is the last */

// Frames that wait for their reader. The server sends no faster than speech is heard, plus the lead, so only a reader
// that has stopped reading gets this far: 28 MB of PCM.
const MAX_WAITING_MS = 600_000;
const MAX_TEXT_CHARACTERS = 4096; // in one message; a longer text goes out in several

/**
 * One stream of speech: text goes in, events come out of `for await`. It throws `ContextFailed` when the server gave
 * this context up, `ConnectionLost` when the session ended, each after the events that came before.
 */
export class Context {
  /** Milliseconds of audio that have come. */
  durationMs = 0;
  over = false;
  /** In the queue of a server that is full; 1 is the next. @type {number | null} */
  place = null;

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
    this.#requireOpen('text');
    const characters = [...text]; // never half of one
    for (let at = 0; at < characters.length; at += MAX_TEXT_CHARACTERS) {
      const piece = characters.slice(at, at + MAX_TEXT_CHARACTERS).join('');
      this.#send({ type: 'text', context_id: this.#id, text: piece });
    }
  }

  /** Speak at once all that was pushed, without waiting for the end of a sentence. */
  flush() {
    this.#requireOpen('flush');
    this.#send({ type: 'flush', context_id: this.#id });
  }

  /** No more text will come: speak the rest, then `done`. */
  end() {
    this.#requireOpen('end');
    this.#state = 'ended';
    this.#send({ type: 'end', context_id: this.#id });
  }

  /**
   * Tell how much of this context's audio has been heard, now and then: the server goes by the clock between. When
   * nobody needs to know any more, nothing is sent.
   * @param {number} playedMs
   */
  played(playedMs) {
    if (this.over || this.#failure || this.#state === 'cancelled') return;
    this.#send({ type: 'played', context_id: this.#id, played_ms: playedMs });
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
    if (message.type !== 'error') this.place = message.type === 'queued' ? message.place : null;
    if (message.type === 'audio') {
      this.#receiveAudio(message);
    } else if (message.type === 'queued' || message.type === 'segment') {
      this.#events.push(message);
    } else if (message.type === 'done' || message.type === 'cancelled') {
      this.durationMs = message.duration_ms;
      this.over = true;
      this.#events.push(message);
    } else if (message.type === 'error') {
      this.over = message.final;
      // Not final: a message of ours was refused, and the speech would have a hole there.
      if (message.final || this.#state !== 'cancelled') this.#fail(new ContextFailed(message.code, message.message, message.retry_after_ms));
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

  /** @param {string} wish */
  #requireOpen(wish) {
    if (this.#failure) throw this.#failure;
    if (this.over || this.#state !== 'open') {
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
