/** One press of Speak: text on its way out, sound on its way in and to the ear. Knows no page. */

import { Stopwatch } from '../clients/js/stopwatch.js';
import { Pace } from './pace.js';

/** @typedef {'waiting' | 'speaking' | 'paused' | 'done' | 'stopped' | 'failed'} Phase */

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
 * What a listener may want to be told.
 * @typedef {object} Ear
 * @property {(piece: string) => void} [written]
 * @property {(word: import('../clients/js/context.js').Word) => void} [word]
 * @property {(end: import('../clients/js/wire.js').WordEndMessage) => void} [wordEnd]
 * @property {(samples: Float32Array, startMs: number) => void} [samples]
 */

export class Talk {
  /** @type {Phase} */
  phase = 'waiting';
  /** All text is on its way. */
  isWritten = false;
  stopwatch = new Stopwatch();
  pace = new Pace();
  #speech;
  #player;
  #frameMs;
  #ear;
  #halt = () => {};
  #halted = new Promise((halt) => (this.#halt = () => halt(undefined)));

  /**
   * @param {import('../clients/js/context.js').Context} speech
   * @param {import('../clients/js/output.js').AudioOutput} output
   * @param {number} frameMs
   * @param {Ear} [ear]
   */
  constructor(speech, output, frameMs, ear = {}) {
    this.#speech = speech;
    this.#frameMs = frameMs;
    this.#ear = ear;
    this.#player = output.player({
      onPlayed: (playedMs) => speech.ack(playedMs),
      onSamples: (samples, startMs) => ear.samples?.(samples, startMs),
    });
  }

  get playedMs() {
    return this.#player.playedMs;
  }

  get leadMs() {
    return this.#player.leadMs;
  }

  /** How often, and how long, there was nothing to play in the midst of speech. */
  get dry() {
    return this.#player.underruns;
  }

  /** In the line of a full server, or null. */
  get place() {
    return this.#speech.place;
  }

  get isOver() {
    return MOVES[this.phase].length === 0;
  }

  /** There is nothing to be heard now, and there should be. */
  get isDry() {
    return this.phase === 'speaking' && this.playedMs > 0 && this.leadMs < 1 && !this.#speech.over;
  }

  /**
   * Until all is heard, or it was stopped. Throws what the client throws.
   * @param {Iterable<string> | AsyncIterable<string>} text
   */
  async run(text) {
    try {
      await Promise.race([this.#hear(text), this.#halted]);
      if (!this.isOver) this.#move('done');
    } catch (error) {
      this.#player.stop();
      this.#move('failed');
      throw error;
    }
  }

  /** Holds still what is heard; what comes meanwhile waits. */
  pause() {
    this.#move('paused');
    this.#player.pause();
  }

  resume() {
    this.#move('speaking');
    this.#player.resume();
  }

  /** Silence, now, and in a while what had been heard by then: that is the server's to say. */
  async stop() {
    this.#move('stopped');
    this.#halt();
    const playedMs = this.#player.stop();
    return { playedMs, cancelled: await this.#speech.cancel(playedMs) };
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text */
  async #hear(text) {
    this.#speech.feed(this.#noted(text));
    for await (const event of this.#speech) this.#take(event);
    await this.#player.finished;
  }

  /** @param {import('../clients/js/context.js').Event} event */
  #take(event) {
    if (this.isOver) return;
    this.#player.play(event);
    if (event.type === 'frame') {
      if (this.phase === 'waiting') this.#move('speaking');
      this.stopwatch.heard(this.#frameMs);
      this.pace.heard(this.#frameMs);
    } else if (event.type === 'word') {
      this.#ear.word?.(event);
    } else if (event.type === 'word_end') {
      this.#ear.wordEnd?.(event);
    } else if (event.type === 'segment') {
      this.stopwatch.segment(event.end_char);
    }
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text */
  async *#noted(text) {
    for await (const piece of text) {
      if (this.isOver) return;
      this.#ear.written?.(piece);
      this.stopwatch.sent(piece);
      yield piece;
    }
    this.isWritten = true;
  }

  /** @param {Phase} phase */
  #move(phase) {
    if (!MOVES[this.phase].includes(phase)) throw new Error(`a talk that is ${this.phase} cannot be ${phase}`);
    this.phase = phase;
  }
}
