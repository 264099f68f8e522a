/** Resamples a stream piece by piece; the result does not depend on how it is split. */

const HALF_TAPS = 16; // input samples on each side of an output sample

export class Resampler {
  /** A polyphase filter bank: one kernel for each fractional position. @type {Float64Array[]} */
  #kernels;
  #down;
  #phase = 0;
  #history = new Float32Array(HALF_TAPS - 1); // input that is still needed; starts as silence

  /** @param {number} fromHz @param {number} toHz */
  constructor(fromHz, toHz) {
    const divisor = gcd(fromHz, toHz);
    this.#down = fromHz / divisor;
    const up = toHz / divisor;
    this.#kernels = Array.from({ length: up }, (_, phase) => kernel(phase / up, Math.min(1, toHz / fromHz)));
  }

  /** @param {Float32Array} samples @returns {Float32Array<ArrayBuffer>} */
  push(samples) {
    const input = new Float32Array(this.#history.length + samples.length);
    input.set(this.#history);
    input.set(samples, this.#history.length);
    const output = [];
    let at = 0;
    while (at + 2 * HALF_TAPS <= input.length) {
      output.push(dotProduct(input, at, this.#kernels[this.#phase]));
      this.#phase += this.#down;
      at += Math.floor(this.#phase / this.#kernels.length);
      this.#phase %= this.#kernels.length;
    }
    this.#history = input.slice(at);
    return Float32Array.from(output);
  }

  /** The last samples, which need input after the end: silence. */
  end() {
    return this.push(new Float32Array(HALF_TAPS));
  }
}

/** @param {number} fraction @param {number} bandwidth */
function kernel(fraction, bandwidth) {
  const weights = Float64Array.from({ length: 2 * HALF_TAPS }, (_, n) => {
    const distance = n - (HALF_TAPS - 1) - fraction;
    return sinc(distance * bandwidth) * Math.cos((Math.PI * distance) / (2 * HALF_TAPS)) ** 2;
  });
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum); // unity gain
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {Float32Array} samples @param {number} at @param {Float64Array} weights */
function dotProduct(samples, at, weights) {
  let sum = 0;
  for (let n = 0; n < weights.length; n++) sum += samples[at + n] * weights[n];
  return sum;
}

/** @param {number} a @param {number} b @returns {number} */
function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
