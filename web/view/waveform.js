/** The waveform of a recording with the playback position; a click or an arrow key seeks. */

import { BUCKET_MS } from '../playback/recording.js';
import { Canvas } from './canvas.js';

const MIN_SPAN_MS = 4000; // the shortest time span that fills the width
const EASE = 0.2; // fraction of the way to the new scale per drawn frame
const MIN_BAR_PX = 4;
const GAP_PX = 1.5;
const MARGIN_PX = 8; // above and below together
const MIN_FULL_SCALE = 0.25; // quieter speech does not fill the height
const LOUDNESS_EXPONENT = 0.7; // below 1, so that quiet speech stays visible

export class Waveform {
  /** Called with the position where the user wants to replay from. */
  onSeek = (/** @type {number} */ _ms) => {};

  #canvas;
  #slider;
  #reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');
  /** @type {import('../playback/recording.js').Recording | null} */
  #recording = null;
  #playedMs = 0;
  #spanMs = MIN_SPAN_MS;

  /** @param {HTMLCanvasElement} canvas @param {HTMLInputElement} slider */
  constructor(canvas, slider) {
    this.#canvas = new Canvas(canvas, () => this.draw());
    this.#slider = slider;
    slider.addEventListener('input', () => {
      this.onSeek(Math.min(slider.valueAsNumber, this.#recording?.durationMs ?? 0));
    });
  }

  /** @param {import('../playback/recording.js').Recording} recording */
  show(recording) {
    this.#recording = recording;
    this.#spanMs = MIN_SPAN_MS;
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
    this.#scaleTo(Math.max(MIN_SPAN_MS, this.#recording.durationMs));
    drawBars(this.#canvas, this.#recording.peaks, this.#spanMs, playedMs);
    this.#slider.value = String(playedMs);
  }

  #scaleTo(spanMs) {
    const near = Math.abs(spanMs - this.#spanMs) < 10;
    this.#spanMs = near || this.#reducedMotion.matches ? spanMs : this.#spanMs + (spanMs - this.#spanMs) * EASE;
    this.#slider.max = String(spanMs);
    this.#slider.setAttribute('aria-valuetext', `${(this.#playedMs / 1000).toFixed(1)} s`);
  }
}

/**
 * Draw peaks as bars, those that were played in another colour.
 * @param {Canvas} canvas
 * @param {number[]} peaks one for each bucket of 20 ms
 * @param {number} spanMs the time that the whole width shows
 * @param {number} playedMs
 */
export function drawBars(canvas, peaks, spanMs, playedMs) {
  const { widthPx, heightPx } = canvas;
  const { stepMs, loudness } = bars(peaks, spanMs, widthPx);
  const pen = canvas.clear();
  const stepPx = (stepMs * widthPx) / spanMs;
  const loudest = loudness.reduce((most, loud) => Math.max(most, loud), MIN_FULL_SCALE);
  const [playedColour, aheadColour] = [canvas.colour('--accent'), canvas.colour('--edge')];
  loudness.forEach((loud, n) => {
    const height = Math.max(2, (loud / loudest) ** LOUDNESS_EXPONENT * (heightPx - MARGIN_PX));
    pen.fillStyle = n * stepMs < playedMs ? playedColour : aheadColour;
    pen.globalAlpha = n * stepMs < playedMs ? 1 : 0.55;
    pen.beginPath();
    pen.roundRect(n * stepPx + GAP_PX / 2, (heightPx - height) / 2, stepPx - GAP_PX, height, 1.5);
    pen.fill();
  });
  pen.globalAlpha = 1;
}

/**
 * Group peaks into bars of at least `MIN_BAR_PX`. The bars' duration is a power-of-two multiple of a bucket, so that
 * bars keep their place in time while the scale changes.
 * @param {number[]} peaks one for each bucket of 20 ms
 * @param {number} spanMs the time that the whole width shows
 * @param {number} widthPx
 */
export function bars(peaks, spanMs, widthPx) {
  let buckets = 1;
  while ((buckets * BUCKET_MS * widthPx) / spanMs < MIN_BAR_PX) buckets *= 2;
  const loudness = [];
  for (let at = 0; at < peaks.length; at += buckets) loudness.push(Math.max(...peaks.slice(at, at + buckets)));
  return { stepMs: buckets * BUCKET_MS, loudness };
}
