/** A graph of the lead over the last seconds: grey while the writer pauses, red at each underrun. */

import { Canvas } from './canvas.js';

const SHOWN_MS = 10_000;
const MIN_SCALE_MS = 1250; // the least lead that fills the whole height
const MARGIN_PX = 6;

export class Graph {
  #canvas;
  #series = new TimeSeries(SHOWN_MS);

  /** @param {HTMLCanvasElement} element */
  constructor(element) {
    this.#canvas = new Canvas(element, () => this.draw());
  }

  clear() {
    this.#series.clear();
    this.draw();
  }

  /** @param {number} leadMs @param {'pause' | 'underrun' | null} stall why nothing is played now */
  add(leadMs, stall, nowMs = performance.now()) {
    this.#series.add(nowMs, leadMs, stall);
    this.draw();
  }

  draw() {
    const { widthPx, heightPx } = this.#canvas;
    const pen = this.#canvas.clear();
    const points = this.#series.points;
    if (points.length < 2) return;
    const newestMs = points[points.length - 1].atMs;
    const top = Math.max(MIN_SCALE_MS, this.#series.max);
    const bottomPx = heightPx - MARGIN_PX;
    const x = (/** @type {number} */ atMs) => widthPx - ((newestMs - atMs) * widthPx) / SHOWN_MS;
    const y = (/** @type {number} */ value) => bottomPx - (value / top) * (bottomPx - MARGIN_PX);
    pen.beginPath();
    for (const { atMs, value } of points) pen.lineTo(x(atMs), y(value));
    pen.strokeStyle = pen.fillStyle = this.#canvas.colour('--accent');
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.lineTo(widthPx, bottomPx);
    pen.lineTo(x(points[0].atMs), bottomPx);
    pen.globalAlpha = 0.15;
    pen.fill();
    pen.globalAlpha = 1;
    const colours = { pause: this.#canvas.colour('--edge'), underrun: this.#canvas.colour('--error') };
    for (const { atMs, stall } of points) {
      if (!stall) continue;
      pen.fillStyle = colours[stall];
      pen.fillRect(x(atMs), bottomPx - 2, 2, MARGIN_PX);
    }
  }
}

/** The values of the last `keptMs` milliseconds. */
export class TimeSeries {
  /** @type {{atMs: number, value: number, stall: 'pause' | 'underrun' | null}[]} */
  points = [];
  #keptMs;

  /** @param {number} keptMs */
  constructor(keptMs) {
    this.#keptMs = keptMs;
  }

  /** @param {number} atMs @param {number} value @param {'pause' | 'underrun' | null} stall */
  add(atMs, value, stall) {
    this.points.push({ atMs, value, stall });
    const firstKept = this.points.findIndex((point) => point.atMs >= atMs - this.#keptMs);
    this.points.splice(0, firstKept);
  }

  clear() {
    this.points = [];
  }

  get max() {
    return Math.max(0, ...this.points.map(({ value }) => value));
  }
}
