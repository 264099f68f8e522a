/** Copies samples from a ring to the output, executes commands, and reports progress. Runs on the audio thread. */

import { Ring } from './ring.js';

const REPORT_INTERVAL_S = 0.02;

/** @typedef {{capacity: number, fadeSamples: number, rateHz: number}} RingOptions */

export class RingReader {
  #ring;
  #report;
  #reportIntervalFrames;
  #commands = 0;
  /** @type {import('./playhead.js').Report} */
  #lastReport = { state: 'held', samplesRead: 0, frame: 0, commands: 0 };

  /** @param {RingOptions} options @param {(report: import('./playhead.js').Report) => void} report */
  constructor({ capacity, fadeSamples, rateHz }, report) {
    this.#ring = new Ring(capacity, fadeSamples);
    this.#reportIntervalFrames = REPORT_INTERVAL_S * rateHz;
    this.#report = report;
  }

  /** @param {[import('./track.js').Command | 'push', Float32Array]} message */
  execute([command, samples]) {
    if (command !== 'push') this.#commands++;
    this.#ring[command](samples);
  }

  /**
   * Fill an output buffer. Returns false if the stream is over.
   * @param {Float32Array} output
   * @param {number} firstFrame of the buffer, by the audio clock
   */
  fill(output, firstFrame) {
    const count = this.#ring.pull(output);
    const { state, samplesRead } = this.#ring;
    // If the ring stopped within this buffer, it did so after the last sample read.
    const frame = firstFrame + (state === 'held' || state === 'over' ? count : output.length);
    const { samplesRead: reported, frame: reportedFrame } = this.#lastReport;
    const isDue = samplesRead !== reported && frame >= reportedFrame + this.#reportIntervalFrames;
    if (isDue || state !== this.#lastReport.state || this.#commands !== this.#lastReport.commands) {
      this.#lastReport = { state, samplesRead, frame, commands: this.#commands };
      this.#report(this.#lastReport);
    }
    return state !== 'over';
  }
}
