/** Sends microphone samples from the audio thread to the page in blocks of about 20 ms. */

const BLOCK_SAMPLES = 1024;

class RecorderWorklet extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK_SAMPLES);
  #filled = 0;

  /** @param {Float32Array[][]} inputs one channel, or none while no microphone is connected */
  process([[channel]]) {
    if (channel) this.#append(channel);
    return true;
  }

  /** @param {Float32Array} samples their number divides `BLOCK_SAMPLES` */
  #append(samples) {
    this.#block.set(samples, this.#filled);
    this.#filled += samples.length;
    if (this.#filled < BLOCK_SAMPLES) return;
    this.port.postMessage(this.#block, [this.#block.buffer]);
    this.#block = new Float32Array(BLOCK_SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor('recorder', RecorderWorklet);
