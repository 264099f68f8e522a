/** The samples of one stream on their way out, and how loud they go: the whole of what happens on the audio thread. */

/** Which state may follow which. @type {Record<State, State[]>} */
export const MOVES = {
  held: ['flowing', 'over'],
  flowing: ['held', 'holding', 'dropping', 'over'],
  holding: ['held', 'flowing', 'dropping', 'over'], // fading out, to go on later
  dropping: ['over'], // fading out, for good
  over: [],
};
/** @typedef {'held' | 'flowing' | 'holding' | 'dropping' | 'over'} State */

export class Ring {
  /** @type {State} */
  state = 'held';
  /** Samples that have gone out. */
  moved = 0;

  #samples;
  #step; // of the gain, from one sample to the next
  #first = 0;
  #count = 0;
  #gain = 0;
  #ending = false;

  /** @param {number} capacity @param {number} fadeSamples */
  constructor(capacity, fadeSamples) {
    this.#samples = new Float32Array(capacity);
    this.#step = 1 / fadeSamples;
  }

  /** The sender knows that there is room. @param {Float32Array} samples */
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
    if (this.state === 'held' || this.state === 'holding') this.#become('flowing');
  }

  /** Fade out, and keep the rest. */
  hold() {
    if (this.state === 'flowing') this.#become('holding');
  }

  /** Nothing comes behind what is here. */
  end() {
    this.#ending = true;
    if (this.state === 'held' && !this.#count) this.#become('over');
  }

  /** Fade out, and forget the rest. */
  drop() {
    if (this.state === 'held') this.#become('over');
    else if (this.state !== 'over' && this.state !== 'dropping') this.#become('dropping');
  }

  /**
   * Fills `output`, with silence where nothing flows, and tells how many samples went out.
   * @param {Float32Array} output
   */
  pull(output) {
    const before = this.moved;
    let at = 0;
    while (at < output.length && this.#flows()) output[at++] = this.#next();
    output.fill(0, at);
    return this.moved - before;
  }

  /** Where there is nothing to move now, the state says why. */
  #flows() {
    if (this.state === 'held' || this.state === 'over') return false;
    if (this.#count && (this.#gain > 0 || this.state === 'flowing')) return true;
    this.#gain = 0;
    const last = this.state === 'dropping' || (this.#ending && !this.#count);
    this.#become(last ? 'over' : 'held');
    return false;
  }

  #next() {
    // Where what is here just suffices for a fade, nobody knows whether more will come.
    const louder = this.state === 'flowing' && this.#count * this.#step > 1;
    this.#gain = Math.min(1, Math.max(0, this.#gain + (louder ? this.#step : -this.#step)));
    const sample = this.#samples[this.#first];
    this.#first = (this.#first + 1) % this.#samples.length;
    this.#count--;
    this.moved++;
    return sample * this.#gain;
  }

  /** @param {State} state */
  #become(state) {
    if (!MOVES[this.state].includes(state)) throw new Error(`a ring cannot go from ${this.state} to ${state}`);
    this.state = state;
  }
}
