/**
 * Measures the real-time factor: seconds of speech received per second. Only the first half second of speech counts,
 * because after that the server's flow control paces the audio to the listener.
 */

const MEASURED_MS = 480;

export class SpeedMeter {
  #nowMs;
  #speechMs = 0;
  #startAtMs = 0;
  /** @type {number | null} */
  #endAtMs = null;

  /** @param {() => number} nowMs */
  constructor(nowMs = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @param {number} durationMs */
  addAudio(durationMs) {
    if (this.#speechMs === 0) this.#startAtMs = this.#nowMs();
    if (this.#speechMs >= MEASURED_MS) return;
    this.#speechMs += durationMs;
    this.#endAtMs = this.#nowMs();
  }

  /** Null until audio arrives. @param {number | null} firstAudioMs time to first audio */
  realTimeFactor(firstAudioMs) {
    if (this.#endAtMs === null || firstAudioMs === null) return null;
    return this.#speechMs / (firstAudioMs + this.#endAtMs - this.#startAtMs);
  }
}
