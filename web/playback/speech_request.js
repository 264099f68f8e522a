/** One spoken text: sends the text, plays the audio that comes back and reports words, samples and timing. */

import { Stopwatch } from '../../clients/js/stopwatch.js';
import { SpeedMeter } from './speed_meter.js';

/** @typedef {'waiting' | 'speaking' | 'paused' | 'done' | 'stopped' | 'failed'} Phase */

const SAME_MS = 20; // the last 6.5 ms of an Opus frame are decoded with the next one

/** @type {Record<Phase, Phase[]>} */
const MOVES = {
  waiting: ['speaking', 'done', 'stopped', 'failed'],
  speaking: ['paused', 'done', 'stopped', 'failed'],
  paused: ['speaking', 'done', 'stopped', 'failed'],
  done: [],
  stopped: [],
  failed: [],
};

/**
 * Optional callbacks for what is sent and received.
 * @typedef {object} SpeechListener
 * @property {(piece: string) => void} [onText]
 * @property {(word: import('../../clients/js/context.js').Word) => void} [onWord]
 * @property {(end: import('../../clients/js/wire.js').WordEndMessage) => void} [onWordEnd]
 * @property {(samples: Float32Array, startMs: number) => void} [onSamples]
 */

export class SpeechRequest {
  /** @type {Phase} */
  phase = 'waiting';
  /** Whether all text has been sent. */
  isTextSent = false;
  stopwatch = new Stopwatch();
  speedMeter = new SpeedMeter();
  #context;
  #player;
  #frameMs;
  #listener;
  #segmentEndMs = Infinity; // of the latest segment that was spoken to its end
  /** @type {string[]} */
  #warnings = [];
  #halt = () => {};
  #halted = new Promise((halt) => (this.#halt = () => halt(undefined)));

  /**
   * @param {import('../../clients/js/context.js').Context} context
   * @param {import('../../clients/js/output.js').AudioOutput} output
   * @param {number} frameMs
   * @param {SpeechListener} [listener]
   */
  constructor(context, output, frameMs, listener = {}) {
    this.#context = context;
    this.#frameMs = frameMs;
    this.#listener = listener;
    this.#player = output.player({
      onPlayed: (playedMs) => context.ack(playedMs),
      onSamples: (samples, startMs) => listener.onSamples?.(samples, startMs),
    });
  }

  get playedMs() {
    return this.#player.playedMs;
  }

  get leadMs() {
    return this.#player.leadMs;
  }

  /** How often the audio ran out during speech, and for how long in total. */
  get underruns() {
    return this.#player.underruns;
  }

  /** The position in the queue of a full server, or null. */
  get queuePosition() {
    return this.#context.place;
  }

  get isOver() {
    return MOVES[this.phase].length === 0;
  }

  /**
   * Why playback has run out of audio although the speech is not over, or null: all text so far was spoken and the
   * writer has to go on, or audio is late.
   * @returns {'pause' | 'underrun' | null}
   */
  get stall() {
    const isStalled = this.phase === 'speaking' && this.playedMs > 0 && this.leadMs < 1 && !this.#context.over;
    if (!isStalled) return null;
    const isAtSegmentEnd = Math.abs(this.playedMs - this.#segmentEndMs) < SAME_MS;
    return !this.isTextSent && isAtSegmentEnd ? 'pause' : 'underrun';
  }

  /** What the server said about the text when the speech was done, such as that it cannot speak a script. */
  get warnings() {
    return this.#warnings;
  }

  /**
   * Speak the text. Resolves when it has been played, or was stopped. Throws what the client throws.
   * @param {Iterable<string> | AsyncIterable<string>} text
   */
  async run(text) {
    try {
      await Promise.race([this.#playAll(text), this.#halted]);
      if (!this.isOver) this.#move('done');
    } catch (error) {
      this.#player.stop();
      this.#move('failed');
      throw error;
    }
  }

  /** Pause playback. Audio that arrives in the meantime is buffered. */
  pause() {
    this.#move('paused');
    this.#player.pause();
  }

  resume() {
    this.#move('speaking');
    this.#player.resume();
  }

  /** Silence the output immediately. Resolves with the server's account of what had been heard. */
  async stop() {
    this.#move('stopped');
    this.#halt();
    const playedMs = this.#player.stop();
    return { playedMs, cancelled: await this.#context.cancel(playedMs) };
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text */
  async #playAll(text) {
    this.#context.feed(this.#observed(text));
    for await (const event of this.#context) this.#handle(event);
    await this.#player.finished;
  }

  /** @param {import('../../clients/js/context.js').Event} event */
  #handle(event) {
    if (this.isOver) return;
    this.#player.play(event);
    if (event.type === 'frame') {
      if (this.phase === 'waiting') this.#move('speaking');
      this.stopwatch.heard(this.#frameMs);
      this.speedMeter.addAudio(this.#frameMs);
    } else if (event.type === 'word') {
      this.#listener.onWord?.(event);
    } else if (event.type === 'word_end') {
      this.#listener.onWordEnd?.(event);
    } else if (event.type === 'segment') {
      this.stopwatch.segment(event.end_char);
      this.#segmentEndMs = event.end_ms;
    } else if (event.type === 'done') {
      this.#warnings = event.warnings ?? [];
    }
  }

  /** The text, with each piece reported as it is sent. @param {Iterable<string> | AsyncIterable<string>} text */
  async *#observed(text) {
    for await (const piece of text) {
      if (this.isOver) return;
      this.#listener.onText?.(piece);
      this.stopwatch.sent(piece);
      yield piece;
    }
    this.isTextSent = true;
  }

  /** @param {Phase} phase */
  #move(phase) {
    if (!MOVES[this.phase].includes(phase)) throw new Error(`speech cannot go from ${this.phase} to ${phase}`);
    this.phase = phase;
  }
}
