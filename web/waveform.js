/** The waveform of a recording and how far it has been heard; a click, or an arrow key, chooses a place in it. */

import { bars } from './bars.js';
import { Canvas } from './canvas.js';

const SHORTEST_MS = 4000; // that fills the whole width
const EASE = 0.2; // of the way to the new scale, each time it is drawn
const GAP_PX = 1.5;
const QUIET = 0.25; // speech that is never louder does not fill the height
const SOFTEN = 0.7; // so that what is quiet is seen too

export class Waveform {
  /** Told where somebody wants to hear it again. */
  onSeek = (/** @type {number} */ _ms) => {};

  #canvas;
  #slider;
  #calm = matchMedia('(prefers-reduced-motion: reduce)');
  /** @type {import('./recording.js').Recording | null} */
  #recording = null;
  #playedMs = 0;
  #spanMs = SHORTEST_MS;

  /** @param {HTMLCanvasElement} canvas @param {HTMLInputElement} slider */
  constructor(canvas, slider) {
    this.#canvas = new Canvas(canvas, () => this.draw());
    this.#slider = slider;
    slider.addEventListener('input', () => {
      this.onSeek(Math.min(slider.valueAsNumber, this.#recording?.durationMs ?? 0));
    });
  }

  /** @param {import('./recording.js').Recording} recording */
  show(recording) {
    this.#recording = recording;
    this.#spanMs = SHORTEST_MS;
    this.setSeekable(false);
  }

  /** @param {boolean} seekable */
  setSeekable(seekable) {
    this.#slider.disabled = !seekable;
  }

  /** @param {number} [playedMs] */
  draw(playedMs = this.#playedMs) {
    this.#playedMs = playedMs;
    if (!this.#recording || !this.#canvas.widthPx) return;
    this.#scale(Math.max(SHORTEST_MS, this.#recording.durationMs));
    const { widthPx, heightPx } = this.#canvas;
    const { stepMs, loudness } = bars(this.#recording.peaks, this.#spanMs, widthPx);
    const pen = this.#canvas.begin();
    const stepPx = (stepMs * widthPx) / this.#spanMs;
    const loudest = loudness.reduce((most, loud) => Math.max(most, loud), QUIET);
    const [heard, ahead] = [this.#canvas.colour('--accent'), this.#canvas.colour('--edge')];
    loudness.forEach((loud, n) => {
      const height = Math.max(2, (loud / loudest) ** SOFTEN * (heightPx - 16));
      pen.fillStyle = n * stepMs < playedMs ? heard : ahead;
      pen.globalAlpha = n * stepMs < playedMs ? 1 : 0.55;
      pen.beginPath();
      pen.roundRect(n * stepPx + GAP_PX / 2, (heightPx - height) / 2, stepPx - GAP_PX, height, 1.5);
      pen.fill();
    });
    pen.globalAlpha = 1;
    this.#slider.value = String(playedMs);
  }

  #scale(spanMs) {
    const near = Math.abs(spanMs - this.#spanMs) < 10;
    this.#spanMs = near || this.#calm.matches ? spanMs : this.#spanMs + (spanMs - this.#spanMs) * EASE;
    this.#slider.max = String(spanMs);
    this.#slider.setAttribute('aria-valuetext', `${(this.#playedMs / 1000).toFixed(1)} s`);
  }
}
