/** Counts underruns: silence in the middle of speech. Silence after a segment is none: more text may not be written. */

const SAME_MS = 10; // the decoder delivers the last 6.5 ms of an Opus frame with the next one

export class Underruns {
  count = 0;
  ms = 0;
  /** @type {number[]} */
  #segmentEndsMs = [];
  /** The silence in progress. @type {{atMs: number, sinceMs: number} | null} */
  #current = null;

  /** A segment ends at this position of the stream. @param {number} endMs */
  addSegmentEnd(endMs) {
    this.#segmentEndsMs.push(endMs);
  }

  /** @param {number} ms */
  isSegmentEnd(ms) {
    return this.#segmentEndsMs.some((endMs) => Math.abs(endMs - ms) <= SAME_MS);
  }

  /** The stream ran dry. @param {number} atMs position in the stream @param {number} nowMs */
  start(atMs, nowMs) {
    this.#current = { atMs, sinceMs: nowMs };
  }

  /**
   * The stream flows again. Returns the duration of the underrun, or 0 if the silence was none.
   * @param {number} atMs position in the stream
   * @param {number} nowMs
   */
  end(atMs, nowMs) {
    const current = this.#current;
    this.#current = null;
    if (!current || this.isSegmentEnd(current.atMs)) return 0;
    const gapMs = nowMs - (atMs - current.atMs) - current.sinceMs;
    this.count++;
    this.ms += gapMs;
    return gapMs;
  }

  /** Do not count the silence in progress: the listener paused. */
  discard() {
    this.#current = null;
  }
}
