/** Which sample of a stream goes out at which frame of the audio clock. Told by the audio thread, now and then. */

/**
 * Up to `frame`, `moved` samples went out, and the state is that of all `orders` so far.
 * @typedef {{state: import('./ring.js').State, moved: number, frame: number, orders: number}} Report
 */

const KEPT_REPORTS = 100; // 2 s: longer than any output takes from there to the ear

export class Playhead {
  /** @type {Report[]} */
  #reports = [{ state: 'held', moved: 0, frame: 0, orders: 0 }];

  get newest() {
    return this.#reports[this.#reports.length - 1];
  }

  /** @param {Report} report */
  tell(report) {
    this.#reports.push(report);
    if (this.#reports.length > 2 * KEPT_REPORTS) this.#reports.splice(0, KEPT_REPORTS);
  }

  /**
   * Samples that went out up to this frame. Behind the newest report they go on as they did.
   * @param {number} frame
   */
  at(frame) {
    const n = Math.max(0, this.#reports.findLastIndex((report) => report.frame <= frame));
    const [before, after] = this.#reports.slice(n, n + 2);
    // Between two reports samples stood still first, if at all: each change is told.
    if (after) return Math.max(before.moved, after.moved - (after.frame - frame));
    return before.state === 'held' || before.state === 'over' ? before.moved : before.moved + frame - before.frame;
  }
}
