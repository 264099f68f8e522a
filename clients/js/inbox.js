/** The received events of one context, queued for the reader, and the state derived from them. */

import { SlowConsumer } from './errors.js';
import { Frame } from './frame.js';
import { Transcript } from './transcript.js';

/** @typedef {import('./wire.js').ContextEvent} ContextEvent */
/** @typedef {import('./wire.js').CancelledMessage} Cancelled */
/**
 * @typedef {import('./wire.js').QueuedMessage | Frame | import('./wire.js').WordMessage
 *   | import('./wire.js').WordEndMessage | import('./wire.js').SegmentMessage | import('./wire.js').FlushedMessage
 *   | import('./wire.js').DoneMessage | Cancelled} Event `cancelled` or `done` is the last
 */

// The limit of frames that wait for the reader: 28 MB of PCM. The server sends no faster than real time plus the lead,
// so only a reader that has stopped reading reaches it.
const MAX_BUFFERED_MS = 600_000;

export class Inbox {
  lastSeq = -1;
  durationMs = 0;
  over = false;
  /** @type {number | null} */
  place = null;
  /** @type {Error | null} */
  failure = null;
  transcript = new Transcript();

  #id;
  #format;
  #ready;
  /** @type {Event[]} */
  #events = [];
  #bufferedFrames = 0;
  #isDroppingFrames = false;
  #continuedMs = 0; // of the audio that servers before this one have sent
  /** @type {Cancelled | null} */
  #cancelled = null;
  /** @type {(() => void)[]} */
  #waiters = [];

  /** @param {string} id @param {'pcm' | 'opus'} format @param {import('./wire.js').ReadyMessage} ready */
  constructor(id, format, ready) {
    this.#id = id;
    this.#format = format;
    this.#ready = ready;
  }

  /**
   * Process an event. Returns false for a duplicate, received before the connection was lost.
   * @param {ContextEvent} event
   */
  receive(event) {
    if (event.seq !== undefined && event.seq !== null) {
      if (event.seq <= this.lastSeq) return false;
      this.lastSeq = event.seq;
    }
    if (event.type === 'audio') this.#onAudio(event);
    else if (event.type !== 'error' && event.type !== 'unknown') this.#onEvent(event);
    this.#wake();
    return true;
  }

  /**
   * Another server goes on after so many characters. Returns what it needs to know; nothing if it begins.
   * @param {number} start_char
   */
  continueAfter(start_char) {
    this.#continuedMs = this.durationMs;
    this.transcript.forgetWords(start_char);
    const start_sample = Math.round((this.durationMs * this.#ready.sample_rate_hz) / 1000);
    return this.lastSeq < 0 ? undefined : { seq: this.lastSeq + 1, start_sample, start_char };
  }

  /** Drop all queued and future frames. */
  dropAudio() {
    this.#isDroppingFrames = true;
    this.#events = this.#events.filter((event) => event.type !== 'frame');
    this.#bufferedFrames = 0;
  }

  /** Throw this error to the reader after the queued events. Only the first call counts. @param {Error} error */
  fail(error) {
    this.failure ??= error;
    this.#wake();
  }

  /** No more events will be received. */
  close() {
    this.over = true;
    this.place = null;
    this.#wake();
  }

  /** The next event, or null after the last. @returns {Promise<Event | null>} */
  async next() {
    for (;;) {
      const event = this.#events.shift();
      if (event?.type === 'frame') this.#bufferedFrames--;
      if (event) return event;
      if (this.failure) throw this.failure;
      if (this.over) return null;
      await this.nextChange();
    }
  }

  /** Resolves when an event is received or the state changes. */
  nextChange() {
    return new Promise((wake) => this.#waiters.push(() => wake(undefined)));
  }

  /**
   * What was heard up to `playedMs`: the server's `cancelled` message if it was received, else computed from the words.
   * @param {number} playedMs
   * @returns {Cancelled}
   */
  heardSplit(playedMs) {
    // A server knows nothing of the words that its predecessors have said.
    if (this.#cancelled && this.#continuedMs && playedMs < this.#continuedMs) {
      return { ...this.#cancelled, ...this.transcript.splitHeard(playedMs) };
    }
    if (this.#cancelled) return this.#cancelled;
    const numbers = { seq: this.lastSeq, duration_ms: this.durationMs, generated_ms: this.durationMs };
    return { type: 'cancelled', context_id: this.#id, ...numbers, ...this.transcript.splitHeard(playedMs) };
  }

  /** @param {import('./wire.js').AudioMessage} audio */
  #onAudio(audio) {
    const frame = new Frame(audio, this.#format, this.#ready);
    this.durationMs = frame.start_ms + this.#ready.frame_ms;
    this.place = null;
    if (this.#isDroppingFrames || this.failure) return;
    this.#events.push(frame);
    if (++this.#bufferedFrames * this.#ready.frame_ms > MAX_BUFFERED_MS) {
      const minutes = MAX_BUFFERED_MS / 60_000;
      this.fail(new SlowConsumer('slow_consumer', `${minutes} min of audio are unread: read events faster`));
    }
  }

  /** @param {Exclude<Event, Frame>} event */
  #onEvent(event) {
    if (event.type === 'cancelled' && this.#continuedMs) {
      event = { ...event, ...this.transcript.splitAt(event.heard_chars) };
    }
    if (event.type === 'queued') this.place = event.place;
    else if (event.type === 'word') this.transcript.addWord(event);
    else if (event.type === 'word_end') this.transcript.setWordEnd(event.end_ms);
    else if (event.type === 'done' || event.type === 'cancelled') this.durationMs = event.duration_ms;
    if (event.type === 'cancelled') this.#cancelled = event;
    if (!this.failure) this.#events.push(event);
  }

  #wake() {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}
