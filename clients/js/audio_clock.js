/** The clocks that a player needs: the audio clock, in milliseconds, and the page's. */

const MAX_LATENCY_S = 1; // a larger reported latency is taken for an error

export class AudioClock {
  #audio;

  /** @param {AudioContext} audio */
  constructor(audio) {
    this.#audio = audio;
  }

  /** The audio time of the samples that are handed to the device now. */
  get deviceMs() {
    return this.#audio.currentTime * 1000;
  }

  /** The audio time of the samples that are audible now. */
  get audibleMs() {
    const { currentTime, outputLatency, state } = this.#audio;
    const { contextTime = 0, performanceTime = 0 } = this.#audio.getOutputTimestamp();
    let audibleS = currentTime - (outputLatency || 0);
    if (contextTime && state === 'running') audibleS = contextTime + (this.nowMs - performanceTime) / 1000;
    return Math.min(currentTime, Math.max(audibleS, currentTime - MAX_LATENCY_S)) * 1000;
  }

  /** The page's clock. */
  get nowMs() {
    return performance.now();
  }

  /** @param {() => void} task @param {number} ms */
  setTimer(task, ms) {
    setTimeout(task, ms);
  }
}
