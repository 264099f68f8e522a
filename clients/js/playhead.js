/** Maps frames of the audio clock to samples of a stream, from periodic reports of the audio thread. */

/**
 * Up to `frame`, `samplesRead` samples went out. The state includes the effect of the first `commands` commands.
 * @typedef {{state: import('./ring.js').State, samplesRead: number, frame: number, commands: number}} Report
 */

const KEPT_REPORTS = 100; // 2 s: longer than any output latency

export class Playhead {
  /** @type {Report[]} */
  #reports = [{ state: 'held', samplesRead: 0, frame: 0, commands: 0 }];

  get newest() {
    return this.#reports[this.#reports.length - 1];
  }

  /** @param {Report} report */
  add(report) {
    this.#reports.push(report);
    if (this.#reports.length > 2 * KEPT_REPORTS) this.#reports.splice(0, KEPT_REPORTS);
  }

  /**
   * The number of samples that went out up to this frame; extrapolated after the newest report.
   * @param {number} frame
   */
  samplesAt(frame) {
    const n = Math.max(0, this.#reports.findLastIndex((report) => report.frame <= frame));
    const [before, after] = this.#reports.slice(n, n + 2);
    // Each change of state is reported, so a pause between two reports lies at their beginning.
    if (after) return Math.max(before.samplesRead, after.samplesRead - (after.frame - frame));
    const isStill = before.state === 'held' || before.state === 'over';
    return isStill ? before.samplesRead : before.samplesRead + frame - before.frame;
  }
}
