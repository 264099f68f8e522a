/** The lead over the last seconds, and where there was none. */

import { Canvas } from './canvas.js';
import { Trace } from './trace.js';

const SHOWN_MS = 10_000;
const LEAST_MS = 1250; // of lead, that fill the whole height
const MARGIN_PX = 6;

export class Graph {
  #canvas;
  #trace = new Trace(SHOWN_MS);

  /** @param {HTMLCanvasElement} element */
  constructor(element) {
    this.#canvas = new Canvas(element, () => this.draw());
  }

  clear() {
    this.#trace.clear();
    this.draw();
  }

  /** @param {number} leadMs @param {boolean} isDry there is nothing to play, and there should be */
  add(leadMs, isDry, nowMs = performance.now()) {
    this.#trace.add(nowMs, leadMs, isDry);
    this.draw();
  }

  draw() {
    const { widthPx, heightPx } = this.#canvas;
    const pen = this.#canvas.begin();
    const points = this.#trace.points;
    if (points.length < 2) return;
    const newestMs = points[points.length - 1].atMs;
    const most = Math.max(LEAST_MS, this.#trace.largest);
    const floor = heightPx - MARGIN_PX;
    const x = (/** @type {number} */ atMs) => widthPx - ((newestMs - atMs) * widthPx) / SHOWN_MS;
    const y = (/** @type {number} */ value) => floor - (value / most) * (floor - MARGIN_PX);
    pen.beginPath();
    for (const { atMs, value } of points) pen.lineTo(x(atMs), y(value));
    pen.strokeStyle = pen.fillStyle = this.#canvas.colour('--accent');
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.lineTo(widthPx, floor);
    pen.lineTo(x(points[0].atMs), floor);
    pen.globalAlpha = 0.15;
    pen.fill();
    pen.globalAlpha = 1;
    pen.fillStyle = this.#canvas.colour('--fault');
    for (const { atMs, isMarked } of points) if (isMarked) pen.fillRect(x(atMs), floor, 2, 3);
  }
}
