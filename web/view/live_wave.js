/** The waveform of one of several voices, while it speaks. */

import { Canvas } from './canvas.js';
import { drawBars } from './waveform.js';

const MIN_SPAN_MS = 6000; // the shortest time span that fills the width

export class LiveWave {
  element = document.createElement('canvas');
  #canvas = new Canvas(this.element, () => this.draw());
  /** @type {import('../playback/recording.js').Recording | null} */
  #recording = null;
  #playedMs = 0;

  constructor() {
    this.element.setAttribute('aria-hidden', 'true');
  }

  /** @param {import('../playback/recording.js').Recording} recording */
  show(recording) {
    this.#recording = recording;
    this.draw(0);
  }

  /** @param {number} [playedMs] */
  draw(playedMs = this.#playedMs) {
    this.#playedMs = playedMs;
    if (!this.#recording || !this.#canvas.widthPx) return;
    drawBars(this.#canvas, this.#recording.peaks, Math.max(MIN_SPAN_MS, this.#recording.durationMs), playedMs);
  }
}
