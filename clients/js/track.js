/** The page's side of one stream on the audio thread: samples and commands to it, reports from it. */

import { Playhead } from './playhead.js';

/** @typedef {import('./playhead.js').Report} Report */
/** @typedef {'flow' | 'hold' | 'drop' | 'end'} Command methods of `Ring` */

const MAX_CHUNK_S = 0.5; // of samples in one message

export class Track {
  /** The first and last position of the samples received so far. */
  startMs = 0;
  endMs = 0;
  /**
   * Called with each report: state, position in the stream and audio time. Not called while a command is on its way, as
   * that may change the state.
   */
  onReport = (/** @type {Report['state']} */ _state, /** @type {number} */ _movedMs, /** @type {number} */ _atMs) => {};

  /** Called when the stream is over on the audio thread. */
  onOver = () => {};

  #port;
  #capacity;
  #rateHz;
  #playhead = new Playhead();
  /** Chunks that do not fit into the ring yet. @type {Float32Array[]} */
  #pending = [];
  #received = 0; // samples
  #transferred = 0;
  #commands = 0;
  #isEnding = false;

  /** @param {Pick<MessagePort, 'postMessage' | 'onmessage'>} port @param {number} capacity @param {number} rateHz */
  constructor(port, capacity, rateHz) {
    this.#port = port;
    this.#capacity = capacity;
    this.#rateHz = rateHz;
    port.onmessage = ({ data }) => this.#onMessage(data);
  }

  /** The position in the stream at the newest report. */
  get readMs() {
    return this.#ms(this.#playhead.newest.samplesRead);
  }

  /** The position in the stream at this audio time, past or future. @param {number} atMs */
  positionAt(atMs) {
    return this.#ms(Math.min(this.#playhead.samplesAt((atMs * this.#rateHz) / 1000), this.#transferred));
  }

  /**
   * Append samples. Returns their duration.
   * @param {Float32Array} samples
   * @param {number} startMs only used for the first samples; all others follow
   */
  push(samples, startMs) {
    if (!this.#received) this.startMs = startMs;
    this.#received += samples.length;
    this.endMs = this.#ms(this.#received);
    const size = MAX_CHUNK_S * this.#rateHz;
    for (let at = 0; at < samples.length; at += size) this.#pending.push(samples.subarray(at, at + size));
    this.#transfer();
    return (samples.length * 1000) / this.#rateHz;
  }

  /** No more samples follow. */
  end() {
    this.#isEnding = true;
    this.#transfer();
  }

  /** @param {Command} command */
  command(command) {
    this.#commands++;
    this.#port.postMessage([command]);
  }

  /** @param {Report} report */
  #onMessage(report) {
    this.#playhead.add(report);
    this.#transfer();
    if (report.state === 'over') this.onOver();
    if (report.commands !== this.#commands) return;
    this.onReport(report.state, this.readMs, (report.frame * 1000) / this.#rateHz);
  }

  #transfer() {
    const room = this.#capacity + this.#playhead.newest.samplesRead;
    while (this.#pending.length && this.#transferred + this.#pending[0].length <= room) {
      const samples = /** @type {Float32Array} */ (this.#pending.shift()).slice(); // the whole buffer is transferred
      this.#transferred += samples.length;
      this.#port.postMessage(['push', samples], [samples.buffer]);
    }
    if (!this.#isEnding || this.#pending.length) return;
    this.#isEnding = false;
    this.command('end');
  }

  /** @param {number} samples */
  #ms(samples) {
    return this.startMs + (samples * 1000) / this.#rateHz;
  }
}
