/** Silence in the midst of a stream: how long, and whether it was a fault or nobody had written on. */

const SAME_MS = 10; // Opus gives the last 6.5 ms of a frame with the next one

export class Gaps {
  count = 0;
  ms = 0;
  /** Where pieces of text are over. @type {number[]} */
  #endsMs = [];
  /** Where in the stream it is silent, and since when. @type {{atMs: number, sinceMs: number} | null} */
  #open = null;

  /** A piece of text is over there. @param {number} endMs */
  tellEnd(endMs) {
    this.#endsMs.push(endMs);
  }

  /** @param {number} ms */
  isEnd(ms) {
    return this.#endsMs.some((endMs) => Math.abs(endMs - ms) <= SAME_MS);
  }

  /** @param {number} atMs of the stream @param {number} nowMs */
  begin(atMs, nowMs) {
    this.#open = { atMs, sinceMs: nowMs };
  }

  /**
   * How long it was, where it was a fault; else 0.
   * @param {number} atMs so far it has come since
   * @param {number} nowMs
   */
  end(atMs, nowMs) {
    const open = this.#open;
    this.#open = null;
    if (!open || this.isEnd(open.atMs)) return 0;
    const gapMs = nowMs - (atMs - open.atMs) - open.sinceMs;
    this.count++;
    this.ms += gapMs;
    return gapMs;
  }

  /** The listener wished for silence. */
  excuse() {
    this.#open = null;
  }
}
