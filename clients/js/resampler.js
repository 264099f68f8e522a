/** Samples at one rate become samples at another, piece by piece, as if they had come in one. */

const REACH = 16; // old samples to either side that a new one is made from

export class Resampler {
  /** Of each place that a new sample can have between two old ones. @type {Float64Array[]} */
  #kernels;
  #down;
  #phase = 0;
  #old = new Float32Array(REACH - 1); // what is still needed; silence before the first

  /** @param {number} fromHz @param {number} toHz */
  constructor(fromHz, toHz) {
    const common = divisor(fromHz, toHz);
    this.#down = fromHz / common;
    const up = toHz / common;
    this.#kernels = Array.from({ length: up }, (_, phase) => kernel(phase / up, Math.min(1, toHz / fromHz)));
  }

  /** @param {Float32Array} samples @returns {Float32Array<ArrayBuffer>} */
  push(samples) {
    const old = new Float32Array(this.#old.length + samples.length);
    old.set(this.#old);
    old.set(samples, this.#old.length);
    const fresh = [];
    let at = 0;
    while (at + 2 * REACH <= old.length) {
      fresh.push(weighed(old, at, this.#kernels[this.#phase]));
      this.#phase += this.#down;
      at += Math.floor(this.#phase / this.#kernels.length);
      this.#phase %= this.#kernels.length;
    }
    this.#old = old.slice(at);
    return Float32Array.from(fresh);
  }

  /** What only waited for what will not come. */
  end() {
    return this.push(new Float32Array(REACH));
  }
}

/** @param {number} place @param {number} bandwidth */
function kernel(place, bandwidth) {
  const weights = Float64Array.from({ length: 2 * REACH }, (_, n) => {
    const distance = n - (REACH - 1) - place;
    return sinc(distance * bandwidth) * Math.cos((Math.PI * distance) / (2 * REACH)) ** 2;
  });
  const sum = weights.reduce((one, other) => one + other, 0);
  return weights.map((weight) => weight / sum); // as loud as before
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {Float32Array} samples @param {number} at @param {Float64Array} weights */
function weighed(samples, at, weights) {
  let sum = 0;
  for (let n = 0; n < weights.length; n++) sum += samples[at + n] * weights[n];
  return sum;
}

/** @param {number} one @param {number} other @returns {number} */
function divisor(one, other) {
  return other === 0 ? one : divisor(other, one % other);
}
