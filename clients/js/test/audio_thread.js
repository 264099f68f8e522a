/** An audio thread that goes as far as a test says: the worklet's own code, on a clock of paper. */

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
  /** From the audio thread to the ear. */
  latencyMs;
  /** All that went out. @type {number[]} */
  out = [];
  /** The page's end of the line. */
  port = { postMessage: (message) => this.#posted.push(structuredClone(message)), onmessage: (_) => {} };

  /** @type {any[]} */
  #posted = [];
  #processor;
  /** @type {{atMs: number, task: () => void}[]} */
  #timers = [];

  constructor({ rateHz = 24_000, capacity = 240_000, fadeSamples = 192, latencyMs = 0 } = {}) {
    this.latencyMs = latencyMs;
    this.rateHz = rateHz;
    this.#processor = new Processor({ processorOptions: { capacity, fadeSamples, rateHz } });
  }

  get sentMs() {
    return (this.out.length * 1000) / this.rateHz;
  }

  get heardMs() {
    return Math.max(0, this.sentMs - this.latencyMs);
  }

  get nowMs() {
    return this.sentMs;
  }

  later(task, ms) {
    this.#timers.push({ atMs: this.nowMs + ms, task });
  }

  /** Whole quanta; what either side says, the other hears between two of them. */
  async run(ms) {
    const endMs = this.sentMs + ms - 1e-6;
    while (this.sentMs < endMs) {
      for (const data of this.#posted.splice(0)) this.#processor.port.onmessage({ data });
      world.currentFrame = this.out.length;
      const output = new Float32Array(QUANTUM);
      this.#processor.process([], [[output]]);
      this.out.push(...output);
      for (const data of this.#processor.port.sent.splice(0)) this.port.onmessage({ data });
      const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs);
      this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs);
      for (const { task } of due) task();
      await new Promise(setImmediate); // promises have their turn
    }
  }
}
