/** The samples of one speech, and its peak level over time. */

export const BUCKET_MS = 20;
const MAX_SAMPLES_MS = 600_000; // samples beyond this are dropped; peaks are kept for the whole speech
const FULL_SCALE = 32767;

export class Recording {
  durationMs = 0;
  /** The peak of each 20 ms, 0 to 1. @type {number[]} */
  peaks = [];
  #sampleRateHz;
  #samples = new Int16Array(0);

  /** @param {number} sampleRateHz */
  constructor(sampleRateHz) {
    this.#sampleRateHz = sampleRateHz;
  }

  get sampleRateHz() {
    return this.#sampleRateHz;
  }

  /** @param {Float32Array} samples @param {number} startMs */
  add(samples, startMs) {
    const start = Math.round((startMs * this.#sampleRateHz) / 1000);
    this.durationMs = Math.max(this.durationMs, ((start + samples.length) * 1000) / this.#sampleRateHz);
    this.#updatePeaks(samples, start);
    this.#store(samples, start);
  }

  /** The stored samples from this position on. @param {number} fromMs */
  from(fromMs) {
    const start = Math.round((fromMs * this.#sampleRateHz) / 1000);
    const end = Math.round((this.durationMs * this.#sampleRateHz) / 1000);
    return Float32Array.from(this.#samples.subarray(start, end), (sample) => sample / FULL_SCALE);
  }

  #updatePeaks(samples, start) {
    const bucket = (BUCKET_MS * this.#sampleRateHz) / 1000;
    for (let n = 0; n < samples.length; n++) {
      const at = Math.floor((start + n) / bucket);
      while (this.peaks.length <= at) this.peaks.push(0);
      this.peaks[at] = Math.max(this.peaks[at], Math.abs(samples[n]));
    }
  }

  #store(samples, start) {
    const end = start + samples.length;
    if ((end * 1000) / this.#sampleRateHz > MAX_SAMPLES_MS) return;
    if (end > this.#samples.length) {
      const larger = new Int16Array(Math.max(end, 2 * this.#samples.length));
      larger.set(this.#samples);
      this.#samples = larger;
    }
    for (let n = 0; n < samples.length; n++) {
      this.#samples[start + n] = Math.round(Math.max(-1, Math.min(1, samples[n])) * FULL_SCALE);
    }
  }
}
