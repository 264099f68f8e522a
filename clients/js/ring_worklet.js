/** The audio thread: a pump, and the line to it. */

import { Pump } from './pump.js';

class RingProcessor extends AudioWorkletProcessor {
  #pump;

  /** @param {{processorOptions: import('./pump.js').PumpOptions}} options */
  constructor({ processorOptions }) {
    super();
    this.#pump = new Pump(processorOptions, (report) => this.port.postMessage(report));
    this.port.onmessage = ({ data }) => this.#pump.obey(data);
  }

  /** @param {Float32Array[][]} _ @param {Float32Array[][]} outputs */
  process(_, [[output]]) {
    return this.#pump.fill(output, currentFrame);
  }
}

registerProcessor('sayline-ring', RingProcessor);
