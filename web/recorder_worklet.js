/** Moves samples from the microphone to the page, some 20 ms at a time. */

const BLOCK_SAMPLES = 1024;

class RecorderWorklet extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK_SAMPLES);
  #filled = 0;

  /** @param {Float32Array[][]} inputs of one channel, or none while there is no microphone */
  process([[channel]]) {
    if (channel) this.#take(channel);
    return true;
  }

  /** @param {Float32Array} samples whose count divides that of a block */
  #take(samples) {
    this.#block.set(samples, this.#filled);
    this.#filled += samples.length;
    if (this.#filled < BLOCK_SAMPLES) return;
    this.port.postMessage(this.#block, [this.#block.buffer]);
    this.#block = new Float32Array(BLOCK_SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor('recorder', RecorderWorklet);
