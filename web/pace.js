/**
 * How many times faster than it is spoken the speech came. Only its beginning counts: after that the server keeps to
 * the pace of the listener.
 */

const BEGINNING_MS = 480;

export class Pace {
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
  heard(durationMs) {
    if (this.#speechMs === 0) this.#startAtMs = this.#nowMs();
    if (this.#speechMs >= BEGINNING_MS) return;
    this.#speechMs += durationMs;
    this.#endAtMs = this.#nowMs();
  }

  /** Null until there is speech. @param {number | null} firstAudioMs how long the first of it took */
  timesRealTime(firstAudioMs) {
    if (this.#endAtMs === null || firstAudioMs === null) return null;
    return this.#speechMs / (firstAudioMs + this.#endAtMs - this.#startAtMs);
  }
}
