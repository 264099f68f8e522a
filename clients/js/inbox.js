/** What came of one context: events that wait for their reader, and what is known from all of them. Sends nothing. */

import { SlowConsumer } from './errors.js';
import { Frame } from './frame.js';
import { Transcript } from './transcript.js';

/** @typedef {import('./wire.js').ContextEvent} ContextEvent */
/** @typedef {import('./wire.js').CancelledMessage} Cancelled */
/**
 * @typedef {import('./wire.js').QueuedMessage | Frame | import('./wire.js').WordMessage
 *   | import('./wire.js').WordEndMessage | import('./wire.js').SegmentMessage | import('./wire.js').FlushedMessage | import('./wire.js').DoneMessage
 *   | Cancelled} Event a `cancelled` or `done` is the last
 */

// Frames that wait for their reader. The server sends no faster than speech is heard, plus the lead, so only a reader
// that has stopped reading gets this far: 28 MB of PCM.
const MAX_WAITING_MS = 600_000;

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
  #waitingFrames = 0;
  #silent = false;
  /** @type {Cancelled | null} */
  #cancelled = null;
  /** @type {(() => void)[]} */
  #wakers = [];

  /** @param {string} id @param {'pcm' | 'opus'} format @param {import('./wire.js').ReadyMessage} ready */
  constructor(id, format, ready) {
    this.#id = id;
    this.#format = format;
    this.#ready = ready;
  }

  /**
   * False: it had come already, before the connection was lost.
   * @param {ContextEvent} event
   */
  receive(event) {
    if (event.seq !== undefined && event.seq !== null) {
      if (event.seq <= this.lastSeq) return false;
      this.lastSeq = event.seq;
    }
    if (event.type === 'audio') this.#receiveAudio(event);
    else if (event.type !== 'error' && event.type !== 'unknown') this.#note(event);
    this.#wake();
    return true;
  }

  /** No frame comes out any more. */
  silence() {
    this.#silent = true;
    this.#events = this.#events.filter((event) => event.type !== 'frame');
    this.#waitingFrames = 0;
  }

  /** The reader gets this, after all that came before, and nothing more. Only the first counts. @param {Error} error */
  fail(error) {
    this.failure ??= error;
    this.#wake();
  }

  /** There is nothing more to come. */
  close() {
    this.over = true;
    this.place = null;
    this.#wake();
  }

  /** Null behind the last. @returns {Promise<Event | null>} */
  async next() {
    for (;;) {
      const event = this.#events.shift();
      if (event?.type === 'frame') this.#waitingFrames--;
      if (event) return event;
      if (this.failure) throw this.failure;
      if (this.over) return null;
      await this.change();
    }
  }

  /** Until something comes. */
  change() {
    return new Promise((wake) => this.#wakers.push(() => wake(undefined)));
  }

  /**
   * In the server's words where it told; else from the words that came.
   * @param {number} playedMs
   * @returns {Cancelled}
   */
  heard(playedMs) {
    if (this.#cancelled) return this.#cancelled;
    const numbers = { seq: this.lastSeq, duration_ms: this.durationMs, generated_ms: this.durationMs };
    return { type: 'cancelled', context_id: this.#id, ...numbers, ...this.transcript.parted(playedMs) };
  }

  /** @param {import('./wire.js').AudioMessage} audio */
  #receiveAudio(audio) {
    const frame = new Frame(audio, this.#format, this.#ready);
    this.durationMs = frame.start_ms + this.#ready.frame_ms;
    this.place = null;
    if (this.#silent || this.failure) return;
    this.#events.push(frame);
    if (++this.#waitingFrames * this.#ready.frame_ms > MAX_WAITING_MS) {
      const minutes = MAX_WAITING_MS / 60_000;
      this.fail(new SlowConsumer('slow_consumer', `${minutes} min of audio wait to be read: read them sooner`));
    }
  }

  /** @param {Exclude<Event, Frame>} event */
  #note(event) {
    if (event.type === 'queued') this.place = event.place;
    else if (event.type === 'word') this.transcript.tell(event);
    else if (event.type === 'word_end') this.transcript.tellEnd(event.end_ms);
    else if (event.type === 'done' || event.type === 'cancelled') this.durationMs = event.duration_ms;
    if (event.type === 'cancelled') this.#cancelled = event;
    if (!this.failure) this.#events.push(event);
  }

  #wake() {
    for (const wake of this.#wakers.splice(0)) wake();
  }
}
