/** Moves samples from a ring to the output, a few at a time, and tells how many. It obeys, and decides nothing. */

import { Ring } from './ring.js';

const TELL_EVERY_S = 0.02;

/** @typedef {{capacity: number, fadeSamples: number, rateHz: number}} PumpOptions */

export class Pump {
  #ring;
  #tell;
  #tellEveryFrames;
  #orders = 0;
  /** @type {import('./playhead.js').Report} */
  #told = { state: 'held', moved: 0, frame: 0, orders: 0 };

  /** @param {PumpOptions} options @param {(report: import('./playhead.js').Report) => void} tell */
  constructor({ capacity, fadeSamples, rateHz }, tell) {
    this.#ring = new Ring(capacity, fadeSamples);
    this.#tellEveryFrames = TELL_EVERY_S * rateHz;
    this.#tell = tell;
  }

  /** @param {[import('./track.js').Order | 'push', Float32Array]} message */
  obey([order, samples]) {
    if (order !== 'push') this.#orders++;
    this.#ring[order](samples);
  }

  /**
   * False: there will be no more.
   * @param {Float32Array} output
   * @param {number} firstFrame of the audio clock
   */
  fill(output, firstFrame) {
    const count = this.#ring.pull(output);
    const { state, moved } = this.#ring;
    // Where it stopped within these samples, it did so behind the last that moved.
    const frame = firstFrame + (state === 'held' || state === 'over' ? count : output.length);
    const due = moved !== this.#told.moved && frame >= this.#told.frame + this.#tellEveryFrames;
    if (due || state !== this.#told.state || this.#orders !== this.#told.orders) {
      this.#told = { state, moved, frame, orders: this.#orders };
      this.#tell(this.#told);
    }
    return state !== 'over';
  }
}
