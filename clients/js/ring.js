/** A ring buffer that fades at every start and stop, so that none of them clicks. Runs on the audio thread. */

/** The legal transitions. @type {Record<State, State[]>} */
export const MOVES = {
  held: ['flowing', 'over'],
  flowing: ['held', 'holding', 'dropping', 'over'],
  holding: ['held', 'flowing', 'dropping', 'over'], // fading out, to continue later
  dropping: ['over'], // fading out, for good
  over: [],
};
/** @typedef {'held' | 'flowing' | 'holding' | 'dropping' | 'over'} State */

export class Ring {
  /** @type {State} */
  state = 'held';
  /** Samples that went to the output. */
  samplesRead = 0;

  #samples;
  #step; // change of the gain per sample
  #first = 0;
  #count = 0;
  #gain = 0;
  #isEnding = false;

  /** @param {number} capacity @param {number} fadeSamples */
  constructor(capacity, fadeSamples) {
    this.#samples = new Float32Array(capacity);
    this.#step = 1 / fadeSamples;
  }

  /** The caller makes sure that there is room. @param {Float32Array} samples */
  push(samples) {
    if (this.state === 'over') return;
    const size = this.#samples.length;
    if (this.#count + samples.length > size) throw new RangeError(`no room for ${samples.length} samples`);
    const at = (this.#first + this.#count) % size;
    const fitting = Math.min(samples.length, size - at);
    this.#samples.set(samples.subarray(0, fitting), at);
    this.#samples.set(samples.subarray(fitting), 0);
    this.#count += samples.length;
  }

  flow() {
    if (this.state === 'held' || this.state === 'holding') this.#move('flowing');
  }

  /** Fade out and keep the remaining samples. */
  hold() {
    if (this.state === 'flowing') this.#move('holding');
  }

  /** No more samples follow. */
  end() {
    this.#isEnding = true;
    if (this.state === 'held' && !this.#count) this.#move('over');
  }

  /** Fade out and discard the remaining samples. */
  drop() {
    if (this.state === 'held') this.#move('over');
    else if (this.state !== 'over' && this.state !== 'dropping') this.#move('dropping');
  }

  /**
   * Fill `output`, padded with silence, and return the number of samples read.
   * @param {Float32Array} output
   */
  pull(output) {
    const before = this.samplesRead;
    let at = 0;
    while (at < output.length && this.#canRead()) output[at++] = this.#read();
    output.fill(0, at);
    return this.samplesRead - before;
  }

  /** Whether a sample can be read. If not, the state changes accordingly. */
  #canRead() {
    if (this.state === 'held' || this.state === 'over') return false;
    if (this.#count && (this.#gain > 0 || this.state === 'flowing')) return true;
    this.#gain = 0;
    const last = this.state === 'dropping' || (this.#isEnding && !this.#count);
    this.#move(last ? 'over' : 'held');
    return false;
  }

  #read() {
    // With just enough samples left for a fade-out, fade out: more may not arrive in time.
    const isFadingIn = this.state === 'flowing' && this.#count * this.#step > 1;
    this.#gain = Math.min(1, Math.max(0, this.#gain + (isFadingIn ? this.#step : -this.#step)));
    const sample = this.#samples[this.#first];
    this.#first = (this.#first + 1) % this.#samples.length;
    this.#count--;
    this.samplesRead++;
    return sample * this.#gain;
  }

  /** @param {State} state */
  #move(state) {
    if (!MOVES[this.state].includes(state)) throw new Error(`a ring cannot go from ${this.state} to ${state}`);
    this.state = state;
  }
}
