/** Converts the packets or PCM of one stream to samples at the output's rate, in order and without gaps. */

import { OpusDecoder, OPUS_RATE_HZ } from './opus_decoder.js';
import { Resampler } from './resampler.js';

/** @typedef {{samples: Float32Array, start_ms: number}} Samples at the output's rate */

const SAME_MS = 1; // timestamps are rounded

export class DecodePipeline {
  #rateHz;
  #onSamples;
  #onFailure;
  /** @type {OpusDecoder | null} */
  #decoder = null;
  /** @type {Resampler | null} */
  #resampler = null;
  #startMs = 0;
  #endMs = -1; // of the input; below 0 until the first samples
  #emitted = 0; // samples

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
  push(piece) {
    if ('samples' in piece) this.#append(piece.samples, piece.start_ms, this.#rateHz);
    else if (piece.format === 'opus') this.#decode(piece);
    else this.#append(Float32Array.from(piece.pcm, (sample) => sample / 32768), piece.start_ms, piece.sample_rate_hz);
  }

  /** Flush the decoder and the resampler. */
  async end() {
    await this.#decoder?.flush();
    this.close();
    if (this.#resampler) this.#emit(this.#resampler.end());
  }

  close() {
    this.#decoder?.close();
    this.#decoder = null;
  }

  /** @param {import('./frame.js').Frame} frame */
  #decode(frame) {
    const append = (/** @type {Float32Array} */ samples, /** @type {number} */ startMs) =>
      this.#append(samples, startMs, OPUS_RATE_HZ);
    this.#decoder ??= new OpusDecoder(append, this.#onFailure);
    this.#decoder.decode(frame);
  }

  /** @param {Float32Array} samples @param {number} startMs @param {number} rateHz */
  #append(samples, startMs, rateHz) {
    if (this.#endMs < 0) this.#startMs = this.#endMs = startMs;
    const missingMs = startMs - this.#endMs;
    const missing = Math.round((missingMs * rateHz) / 1000);
    if (missingMs > SAME_MS) this.#append(new Float32Array(missing), this.#endMs, rateHz); // silence for lost frames
    this.#endMs += (samples.length * 1000) / rateHz;
    if (rateHz !== this.#rateHz) this.#resampler ??= new Resampler(rateHz, this.#rateHz);
    this.#emit(this.#resampler ? this.#resampler.push(samples) : samples);
  }

  /** @param {Float32Array} samples */
  #emit(samples) {
    if (!samples.length) return;
    const startMs = this.#startMs + (this.#emitted * 1000) / this.#rateHz;
    this.#emitted += samples.length;
    this.#onSamples(samples, startMs);
  }
}
