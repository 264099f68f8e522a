/** A simulated audio thread: runs the real worklet code on a clock that the test advances. */

/** @type {any} */ let Processor;
const world = /** @type {any} */ (globalThis);
world.AudioWorkletProcessor = class {
  port = { postMessage: (report) => this.port.sent.push(report), onmessage: null, sent: [] };
};
world.registerProcessor = (_, processor) => (Processor = processor);
await import('../ring_worklet.js');

const QUANTUM = 128;

export class AudioThread {
  rateHz;
  /** From the audio thread to the speaker. */
  latencyMs;
  /** All samples that were output. @type {number[]} */
  out = [];
  /** The page's end of the message port. */
  port = { postMessage: (message) => this.#toThread.push(structuredClone(message)), onmessage: (_) => {} };

  /** @type {any[]} */
  #toThread = [];
  #processor;
  /** @type {{atMs: number, task: () => void}[]} */
  #timers = [];

  constructor({ rateHz = 24_000, capacity = 240_000, fadeSamples = 192, latencyMs = 0 } = {}) {
    this.latencyMs = latencyMs;
    this.rateHz = rateHz;
    this.#processor = new Processor({ processorOptions: { capacity, fadeSamples, rateHz } });
  }

  get deviceMs() {
    return (this.out.length * 1000) / this.rateHz;
  }

  get audibleMs() {
    return Math.max(0, this.deviceMs - this.latencyMs);
  }

  get nowMs() {
    return this.deviceMs;
  }

  setTimer(task, ms) {
    this.#timers.push({ atMs: this.nowMs + ms, task });
  }

  /** Run whole quanta; messages are delivered between them. */
  async run(ms) {
    const endMs = this.deviceMs + ms - 1e-6;
    while (this.deviceMs < endMs) {
      for (const data of this.#toThread.splice(0)) this.#processor.port.onmessage({ data });
      world.currentFrame = this.out.length;
      const output = new Float32Array(QUANTUM);
      this.#processor.process([], [[output]]);
      this.out.push(...output);
      for (const data of this.#processor.port.sent.splice(0)) this.port.onmessage({ data });
      const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs);
      this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs);
      for (const { task } of due) task();
      await new Promise(setImmediate); // lets pending promises settle
    }
  }
}
