/** What time it is, for one who plays: of the audio clock, in milliseconds, and of the page. */

const MAX_LATENCY_S = 1; // what is told beyond that is not so

export class AudioClock {
  #audio;

  /** @param {AudioContext} audio */
  constructor(audio) {
    this.#audio = audio;
  }

  /** Of what is handed to the device now. */
  get sentMs() {
    return this.#audio.currentTime * 1000;
  }

  /** Of what is heard now. */
  get heardMs() {
    const { currentTime, outputLatency, state } = this.#audio;
    const { contextTime = 0, performanceTime = 0 } = this.#audio.getOutputTimestamp();
    let heardS = currentTime - (outputLatency || 0);
    if (contextTime && state === 'running') heardS = contextTime + (this.nowMs - performanceTime) / 1000;
    return Math.min(currentTime, Math.max(heardS, currentTime - MAX_LATENCY_S)) * 1000;
  }

  /** Of the page. */
  get nowMs() {
    return performance.now();
  }

  /** @param {() => void} task @param {number} ms */
  later(task, ms) {
    setTimeout(task, ms);
  }
}
