/**
 * One stream of speech on its way to the ear: what comes is held back until there is enough, then the audio thread lets
 * it flow. Knows no browser: `AudioOutput` gives it a track of the audio thread, and a clock.
 */

import { Gaps } from './gaps.js';
import { Heard } from './heard.js';
import { Intake } from './intake.js';
import { JitterBuffer } from './jitter_buffer.js';

/** @typedef {import('./intake.js').Samples} Samples */
/** @typedef {Pick<import('./audio_clock.js').AudioClock, 'sentMs' | 'heardMs' | 'nowMs' | 'later'>} Clock */
/**
 * @typedef {object} Listener
 * @property {(playedMs: number) => void} [onPlayed] about once a second, and where the sound stops: for `speech.ack`
 * @property {(ms: number) => void} [onUnderrun] it goes on after a gap of so long
 * @property {(samples: Float32Array, startMs: number) => void} [onSamples] once decoded, at the output's rate
 */

/** Which state may follow which. @type {Record<State, State[]>} */
const MOVES = {
  filling: ['playing', 'finished', 'stopped'],
  playing: ['filling', 'finished', 'stopped'],
  finished: [],
  stopped: [],
};
/** @typedef {'filling' | 'playing' | 'finished' | 'stopped'} State */

/** Made by `AudioOutput.player()`. */
export class Player {
  /** When all was heard, or the player stopped: with how much was heard. @type {Promise<number>} */
  finished;

  /** @type {State} */
  #state = 'filling';
  #paused = false;
  #ended = false; // no more is to come
  #whole = false; // and all of it came
  #track;
  #clock;
  #listener;
  #buffer;
  #intake;
  #gaps = new Gaps();
  #heard;
  /** @type {{fulfil: (playedMs: number) => void, reject: (error: Error) => void}} */
  #settle;

  /**
   * @param {import('./track.js').Track} track
   * @param {Clock} clock
   * @param {number} sampleRateHz
   * @param {Listener} [listener]
   * @param {import('./jitter_buffer.js').Jitter} [jitter] what other streams have learned
   */
  constructor(track, clock, sampleRateHz, listener = {}, jitter) {
    this.#track = track;
    this.#clock = clock;
    this.#listener = listener;
    this.#heard = new Heard(track, clock);
    this.#heard.onPlayed = (playedMs) => listener.onPlayed?.(playedMs);
    this.#buffer = new JitterBuffer(jitter);
    const take = (/** @type {Float32Array} */ samples, /** @type {number} */ startMs) => this.#take(samples, startMs);
    this.#intake = new Intake(sampleRateHz, take, (error) => this.#close('stopped', error));
    this.finished = new Promise((fulfil, reject) => (this.#settle = { fulfil, reject }));
    this.finished.catch(() => {}); // told to those who wait for it
    track.onReport = (...news) => this.#hear(...news);
  }

  /**
   * A frame, to be heard behind those before; of a context's other events it takes what concerns it. `playedMs` begins
   * at the first one's `start_ms`.
   * @param {import('./inbox.js').Event | Samples} event
   */
  play(event) {
    if (this.#ended || this.#over) return;
    if ('samples' in event || event.type === 'frame') this.#intake.take(event);
    else if (event.type === 'segment') this.#gaps.tellEnd(event.end_ms);
    else if (event.type === 'done' || event.type === 'cancelled') this.end();
  }

  /**
   * All of a context; the server is told what was heard. Fulfilled when all is; throws what the context throws.
   * @param {import('./context.js').Context} speech
   */
  async playAll(speech) {
    this.#heard.onPlayed = (playedMs) => {
      speech.ack(playedMs);
      this.#listener.onPlayed?.(playedMs);
    };
    try {
      for await (const event of speech) {
        if (this.#over) break; // which cancels it
        this.play(event);
      }
    } finally {
      this.end();
    }
    return this.finished;
  }

  /** No more comes: what is here is heard to its end. */
  end() {
    if (this.#ended || this.#over) return;
    this.#ended = true;
    this.#intake.end().then(() => {
      if (this.#over) return;
      this.#whole = true;
      this.#track.end();
      this.#begin();
    });
  }

  pause() {
    if (this.#paused || this.#over) return;
    this.#paused = true;
    this.#gaps.excuse();
    if (this.#state === 'playing') this.#track.order('hold');
  }

  resume() {
    if (!this.#paused || this.#over) return;
    this.#paused = false;
    this.#buffer.excuse(); // a server sends nothing to those who have enough
    if (this.#state === 'playing') this.#track.order('flow');
    else this.#begin();
  }

  /** Fades, is silent, and tells how much will have been heard then. */
  stop() {
    if (!this.#over) this.#close('stopped');
    return this.playedMs;
  }

  /** How much was heard: silence between frames does not count. */
  get playedMs() {
    return this.#heard.ms;
  }

  /** How long the listener can go on without another frame. */
  get leadMs() {
    return this.#over ? 0 : this.#track.endMs - this.playedMs;
  }

  /** How late a frame may be: 40 to 300, as they come evenly or not. */
  get jitterMs() {
    return this.#buffer.targetMs;
  }

  /** Gaps in the midst of speech; not those where a piece of text was over, and the next not written yet. */
  get underruns() {
    return { count: this.#gaps.count, ms: this.#gaps.ms };
  }

  get paused() {
    return this.#paused;
  }

  get #over() {
    return this.#state === 'stopped' || this.#state === 'finished';
  }

  /** @param {Float32Array} samples @param {number} startMs */
  #take(samples, startMs) {
    if (this.#over) return;
    if (this.#gaps.isEnd(startMs)) this.#buffer.excuse(); // it may not have been written before
    this.#buffer.add(this.#track.push(samples, startMs), this.#clock.nowMs);
    this.#listener.onSamples?.(samples, startMs);
    this.#begin();
  }

  /** If there is enough; else later. */
  #begin() {
    if (this.#state !== 'filling' || this.#paused) return;
    const leadMs = this.#track.endMs - this.#track.movedMs;
    const waitMs = this.#whole ? 0 : this.#buffer.waitMs(leadMs, this.#clock.nowMs);
    if (waitMs > 0) {
      this.#clock.later(() => this.#begin(), waitMs);
    } else if (leadMs > 0) {
      this.#become('playing');
      this.#track.order('flow');
    }
  }

  /** @param {import('./ring.js').State} state @param {number} movedMs @param {number} atMs */
  #hear(state, movedMs, atMs) {
    if (this.#over) return;
    // All went out, and is heard a little later.
    if (state === 'over') this.#clock.later(() => this.#over || this.#close('finished'), this.leadMs);
    else if (state === 'flowing') this.#flow(movedMs, atMs);
    else if (state === 'held') this.#hold(movedMs, atMs);
  }

  /** @param {number} movedMs @param {number} atMs */
  #flow(movedMs, atMs) {
    const gapMs = this.#gaps.end(movedMs, atMs);
    if (gapMs > 0) this.#listener.onUnderrun?.(gapMs);
    this.#heard.tellInTime();
  }

  /** @param {number} movedMs @param {number} atMs */
  #hold(movedMs, atMs) {
    this.#heard.tell();
    if (this.#paused || this.#state !== 'playing') return;
    this.#gaps.begin(movedMs, atMs);
    this.#buffer.refill();
    this.#become('filling');
    this.#begin();
  }

  /** @param {'finished' | 'stopped'} state @param {Error} [error] */
  #close(state, error) {
    this.#become(state);
    this.#intake.close();
    if (state === 'stopped') this.#track.order('drop');
    this.#heard.end(state);
    if (error) this.#settle.reject(error);
    else this.#settle.fulfil(this.playedMs);
  }

  /** @param {State} state */
  #become(state) {
    if (!MOVES[this.#state].includes(state)) throw new Error(`a player cannot go from ${this.#state} to ${state}`);
    this.#state = state;
  }
}
