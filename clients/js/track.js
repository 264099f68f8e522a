/** One stream's samples, as this side of the audio thread knows them: what was handed over, what has gone out. */

import { Playhead } from './playhead.js';

/** @typedef {import('./playhead.js').Report} Report */
/** @typedef {'flow' | 'hold' | 'drop' | 'end'} Order see `Ring` */

const PIECE_S = 0.5; // what goes over at once, at most

export class Track {
  /** Where the stream begins, and where it ends so far. */
  startMs = 0;
  endMs = 0;
  /**
   * Told of what went out, where in the stream that ends and when on the audio clock, once all orders have arrived: of
   * no state that is about to change.
   */
  onReport = (/** @type {Report['state']} */ _state, /** @type {number} */ _movedMs, /** @type {number} */ _atMs) => {};

  /** Nothing goes out any more. */
  onOver = () => {};

  #port;
  #capacity;
  #rateHz;
  #playhead = new Playhead();
  /** For which the ring has no room yet. @type {Float32Array[]} */
  #waiting = [];
  #came = 0; // samples
  #given = 0;
  #orders = 0;
  #ending = false;

  /** @param {Pick<MessagePort, 'postMessage' | 'onmessage'>} port @param {number} capacity @param {number} rateHz */
  constructor(port, capacity, rateHz) {
    this.#port = port;
    this.#capacity = capacity;
    this.#rateHz = rateHz;
    port.onmessage = ({ data }) => this.#hear(data);
  }

  /** Where in the stream the newest report was. */
  get movedMs() {
    return this.#ms(this.#playhead.newest.moved);
  }

  /** Where in the stream it was, or will be, at this time of the audio clock. @param {number} atMs */
  at(atMs) {
    return this.#ms(Math.min(this.#playhead.at((atMs * this.#rateHz) / 1000), this.#given));
  }

  /**
   * How long they last.
   * @param {Float32Array} samples
   * @param {number} startMs of the first ones; all others follow
   */
  push(samples, startMs) {
    if (!this.#came) this.startMs = startMs;
    this.#came += samples.length;
    this.endMs = this.#ms(this.#came);
    const size = PIECE_S * this.#rateHz;
    for (let at = 0; at < samples.length; at += size) this.#waiting.push(samples.subarray(at, at + size));
    this.#give();
    return (samples.length * 1000) / this.#rateHz;
  }

  /** Nothing comes behind what was pushed. */
  end() {
    this.#ending = true;
    this.#give();
  }

  /** @param {Order} order */
  order(order) {
    this.#orders++;
    this.#port.postMessage([order]);
  }

  /** @param {Report} report */
  #hear(report) {
    this.#playhead.tell(report);
    this.#give();
    if (report.state === 'over') this.onOver();
    if (report.orders !== this.#orders) return;
    this.onReport(report.state, this.movedMs, (report.frame * 1000) / this.#rateHz);
  }

  #give() {
    const room = this.#capacity + this.#playhead.newest.moved;
    while (this.#waiting.length && this.#given + this.#waiting[0].length <= room) {
      const samples = /** @type {Float32Array} */ (this.#waiting.shift()).slice(); // all that it lies in would go along
      this.#given += samples.length;
      this.#port.postMessage(['push', samples], [samples.buffer]);
    }
    if (!this.#ending || this.#waiting.length) return;
    this.#ending = false; // said once
    this.order('end');
  }

  /** @param {number} samples */
  #ms(samples) {
    return this.startMs + (samples * 1000) / this.#rateHz;
  }
}
