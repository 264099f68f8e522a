/** Whatever comes of one stream, packets or PCM, becomes samples at the output's rate, in order and without a hole. */

import { OpusDecoder, OPUS_RATE_HZ } from './opus_decoder.js';
import { Resampler } from './resampler.js';

/** @typedef {{samples: Float32Array, start_ms: number}} Samples at the output's rate */

const SAME_MS = 1; // times are rounded

export class Intake {
  #rateHz;
  #onSamples;
  #onFailure;
  /** @type {OpusDecoder | null} */
  #decoder = null;
  /** @type {Resampler | null} */
  #resampler = null;
  #beganAtMs = 0;
  #endMs = -1; // of what came
  #given = 0; // samples

  /**
   * @param {number} rateHz
   * @param {(samples: Float32Array, startMs: number) => void} onSamples
   * @param {(error: import('./errors.js').SaylineError) => void} onFailure
   */
  constructor(rateHz, onSamples, onFailure) {
    this.#rateHz = rateHz;
    this.#onSamples = onSamples;
    this.#onFailure = onFailure;
  }

  /** @param {import('./frame.js').Frame | Samples} piece */
  take(piece) {
    if ('samples' in piece) this.#take(piece.samples, piece.start_ms, this.#rateHz);
    else if (piece.format === 'opus') this.#decode(piece);
    else this.#take(Float32Array.from(piece.pcm, (sample) => sample / 32768), piece.start_ms, piece.sample_rate_hz);
  }

  /** Nothing more comes: give what is left. */
  async end() {
    await this.#decoder?.flush();
    this.close();
    if (this.#resampler) this.#give(this.#resampler.end());
  }

  close() {
    this.#decoder?.close();
    this.#decoder = null;
  }

  /** @param {import('./frame.js').Frame} frame */
  #decode(frame) {
    const take = (/** @type {Float32Array} */ samples, /** @type {number} */ startMs) =>
      this.#take(samples, startMs, OPUS_RATE_HZ);
    this.#decoder ??= new OpusDecoder(take, this.#onFailure);
    this.#decoder.decode(frame);
  }

  /** @param {Float32Array} samples @param {number} startMs @param {number} rateHz */
  #take(samples, startMs, rateHz) {
    if (this.#endMs < 0) this.#beganAtMs = this.#endMs = startMs;
    const missingMs = startMs - this.#endMs;
    if (missingMs > SAME_MS) this.#take(new Float32Array(Math.round((missingMs * rateHz) / 1000)), this.#endMs, rateHz);
    this.#endMs += (samples.length * 1000) / rateHz;
    if (rateHz !== this.#rateHz) this.#resampler ??= new Resampler(rateHz, this.#rateHz);
    this.#give(this.#resampler ? this.#resampler.push(samples) : samples);
  }

  /** @param {Float32Array} samples */
  #give(samples) {
    if (!samples.length) return;
    const startMs = this.#beganAtMs + (this.#given * 1000) / this.#rateHz;
    this.#given += samples.length;
    this.#onSamples(samples, startMs);
  }
}
