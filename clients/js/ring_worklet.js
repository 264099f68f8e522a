/** The audio worklet: a `RingReader` connected to the message port. */

import { RingReader } from './ring_reader.js';

class RingProcessor extends AudioWorkletProcessor {
  #reader;

  /** @param {{processorOptions: import('./ring_reader.js').RingOptions}} options */
  constructor({ processorOptions }) {
    super();
    this.#reader = new RingReader(processorOptions, (report) => this.port.postMessage(report));
    this.port.onmessage = ({ data }) => this.#reader.execute(data);
  }

  /** @param {Float32Array[][]} _ @param {Float32Array[][]} outputs */
  process(_, [[output]]) {
    return this.#reader.fill(output, currentFrame);
  }
}

registerProcessor('sayline-ring', RingProcessor);
