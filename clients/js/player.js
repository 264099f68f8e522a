/**
 * Plays one stream of speech: buffers received audio until there is enough, then lets the audio thread play it.
 * `AudioOutput` provides the track of the audio thread and the clock.
 */

import { DecodePipeline } from './decode_pipeline.js';
import { JitterBuffer } from './jitter_buffer.js';
import { PlayedPosition } from './played_position.js';
import { Underruns } from './underruns.js';

/** @typedef {import('./decode_pipeline.js').Samples} Samples */
/** @typedef {Pick<import('./audio_clock.js').AudioClock, 'deviceMs' | 'audibleMs' | 'nowMs' | 'setTimer'>} Clock */
/**
 * @typedef {object} Listener
 * @property {(playedMs: number) => void} [onPlayed] about once a second, and when playback stops: for `speech.ack`
 * @property {(ms: number) => void} [onUnderrun] playback continues after an underrun of this duration
 * @property {(samples: Float32Array, startMs: number) => void} [onSamples] decoded samples at the output's rate
 */

/** The legal transitions. @type {Record<State, State[]>} */
const MOVES = {
  filling: ['playing', 'finished', 'stopped'],
  playing: ['filling', 'finished', 'stopped'],
  finished: [],
  stopped: [],
};
/** @typedef {'filling' | 'playing' | 'finished' | 'stopped'} State */

/** Created by `AudioOutput.player()`. */
export class Player {
  /** Resolves with the played milliseconds when all was played or the player stopped. @type {Promise<number>} */
  finished;

  /** @type {State} */
  #state = 'filling';
  #isPaused = false;
  #isEnded = false; // no more events will be played
  #isDecoded = false; // and all audio has been decoded
  #track;
  #clock;
  #listener;
  #jitterBuffer;
  #pipeline;
  #underruns = new Underruns();
  #position;
  /** @type {{fulfil: (playedMs: number) => void, reject: (error: Error) => void}} */
  #settle;

  /**
   * @param {import('./track.js').Track} track
   * @param {Clock} clock
   * @param {number} sampleRateHz
   * @param {Listener} [listener]
   * @param {import('./jitter_buffer.js').JitterEstimate} [jitter] shared by the streams of one output
   */
  constructor(track, clock, sampleRateHz, listener = {}, jitter) {
    this.#track = track;
    this.#clock = clock;
    this.#listener = listener;
    this.#position = new PlayedPosition(track, clock);
    this.#position.onPlayed = (playedMs) => listener.onPlayed?.(playedMs);
    this.#jitterBuffer = new JitterBuffer(jitter);
    /** @type {(samples: Float32Array, startMs: number) => void} */
    const onSamples = (samples, startMs) => this.#onSamples(samples, startMs);
    this.#pipeline = new DecodePipeline(sampleRateHz, onSamples, (error) => this.#close('stopped', error));
    this.finished = new Promise((fulfil, reject) => (this.#settle = { fulfil, reject }));
    this.finished.catch(() => {}); // no unhandled rejection if nobody awaits it
    track.onReport = (...report) => this.#onReport(...report);
  }

  /**
   * Play an event of a context: frames are appended, segments and the last event are evaluated, others ignored.
   * `playedMs` starts at the first frame's `start_ms`.
   * @param {import('./inbox.js').Event | Samples} event
   */
  play(event) {
    if (this.#isEnded || this.#isOver) return;
    if ('samples' in event || event.type === 'frame') this.#pipeline.push(event);
    else if (event.type === 'segment') this.#underruns.addSegmentEnd(event.end_ms);
    else if (event.type === 'done' || event.type === 'cancelled') this.end();
  }

  /**
   * Play a whole context and acknowledge the played audio. Resolves when all was played; throws what the context
   * throws.
   * @param {import('./context.js').Context} speech
   */
  async playAll(speech) {
    this.#position.onPlayed = (playedMs) => {
      speech.ack(playedMs);
      this.#listener.onPlayed?.(playedMs);
    };
    try {
      for await (const event of speech) {
        if (this.#isOver) break; // leaving the loop cancels the context
        this.play(event);
      }
    } finally {
      this.end();
    }
    return this.finished;
  }

  /** No more events follow: play the rest. */
  end() {
    if (this.#isEnded || this.#isOver) return;
    this.#isEnded = true;
    this.#pipeline.end().then(() => {
      if (this.#isOver) return;
      this.#isDecoded = true;
      this.#track.end();
      this.#startIfReady();
    });
  }

  pause() {
    if (this.#isPaused || this.#isOver) return;
    this.#isPaused = true;
    this.#underruns.discard();
    if (this.#state === 'playing') this.#track.command('hold');
  }

  resume() {
    if (!this.#isPaused || this.#isOver) return;
    this.#isPaused = false;
    this.#jitterBuffer.skipInterval(); // the server stops sending when the lead is large enough
    if (this.#state === 'playing') this.#track.command('flow');
    else this.#startIfReady();
  }

  /** Fade out and stop. Returns how much will have been played. */
  stop() {
    if (!this.#isOver) this.#close('stopped');
    return this.playedMs;
  }

  /** Milliseconds of speech played; silence between frames does not count. */
  get playedMs() {
    return this.#position.ms;
  }

  /** Milliseconds of audio that are buffered. */
  get leadMs() {
    return this.#isOver ? 0 : this.#track.endMs - this.playedMs;
  }

  /** How late a frame may arrive without an underrun: 40 to 300, adapted to the jitter of the network. */
  get jitterMs() {
    return this.#jitterBuffer.targetMs;
  }

  /** Underruns in the middle of speech; silence after a segment, before more text was written, does not count. */
  get underruns() {
    return { count: this.#underruns.count, ms: this.#underruns.ms };
  }

  get paused() {
    return this.#isPaused;
  }

  get #isOver() {
    return this.#state === 'stopped' || this.#state === 'finished';
  }

  /** @param {Float32Array} samples @param {number} startMs */
  #onSamples(samples, startMs) {
    if (this.#isOver) return;
    if (this.#underruns.isSegmentEnd(startMs)) this.#jitterBuffer.skipInterval(); // its text may have been late
    this.#jitterBuffer.add(this.#track.push(samples, startMs), this.#clock.nowMs);
    this.#listener.onSamples?.(samples, startMs);
    this.#startIfReady();
  }

  /** Start playback if enough audio is buffered; otherwise try again later. */
  #startIfReady() {
    if (this.#state !== 'filling' || this.#isPaused) return;
    const leadMs = this.#track.endMs - this.#track.readMs;
    const waitMs = this.#isDecoded ? 0 : this.#jitterBuffer.waitMs(leadMs, this.#clock.nowMs);
    if (waitMs > 0) {
      this.#clock.setTimer(() => this.#startIfReady(), waitMs);
    } else if (leadMs > 0) {
      this.#move('playing');
      this.#track.command('flow');
    }
  }

  /** @param {import('./ring.js').State} state @param {number} readMs @param {number} atMs */
  #onReport(state, readMs, atMs) {
    if (this.#isOver) return;
    // All samples went to the device, and will be audible a little later.
    if (state === 'over') this.#clock.setTimer(() => this.#isOver || this.#close('finished'), this.leadMs);
    else if (state === 'flowing') this.#onFlowing(readMs, atMs);
    else if (state === 'held') this.#onHeld(readMs, atMs);
  }

  /** @param {number} readMs @param {number} atMs */
  #onFlowing(readMs, atMs) {
    const gapMs = this.#underruns.end(readMs, atMs);
    if (gapMs > 0) this.#listener.onUnderrun?.(gapMs);
    this.#position.reportIfDue();
  }

  /** @param {number} readMs @param {number} atMs */
  #onHeld(readMs, atMs) {
    this.#position.report();
    if (this.#isPaused || this.#state !== 'playing') return;
    this.#underruns.start(readMs, atMs);
    this.#jitterBuffer.reset();
    this.#move('filling');
    this.#startIfReady();
  }

  /** @param {'finished' | 'stopped'} state @param {Error} [error] */
  #close(state, error) {
    this.#move(state);
    this.#pipeline.close();
    if (state === 'stopped') this.#track.command('drop');
    this.#position.end(state);
    if (error) this.#settle.reject(error);
    else this.#settle.fulfil(this.playedMs);
  }

  /** @param {State} state */
  #move(state) {
    if (!MOVES[this.#state].includes(state)) throw new Error(`a player cannot go from ${this.#state} to ${state}`);
    this.#state = state;
  }
}
