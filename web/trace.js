/** A number over the last seconds. Knows no page. */

export class Trace {
  /** @type {{atMs: number, value: number, isMarked: boolean}[]} */
  points = [];
  #keptMs;

  /** @param {number} keptMs */
  constructor(keptMs) {
    this.#keptMs = keptMs;
  }

  /** @param {number} atMs @param {number} value @param {boolean} isMarked */
  add(atMs, value, isMarked) {
    this.points.push({ atMs, value, isMarked });
    const old = this.points.findIndex(({ atMs: at }) => at >= atMs - this.#keptMs);
    this.points.splice(0, old);
  }

  clear() {
    this.points = [];
  }

  get largest() {
    return Math.max(0, ...this.points.map(({ value }) => value));
  }
}
