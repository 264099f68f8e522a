/** Two lanes on one clock: the text as it is written above, the speech as it is heard below. */

import { BUCKET_MS } from '../playback/recording.js';
import { labels, Timeline } from '../playback/timeline.js';
import { formatSeconds } from '../status_text.js';
import { Canvas } from './canvas.js';

const MIN_SPAN_MS = 6000; // the shortest time that fills the width
const EASE = 0.15; // fraction of the way to the new scale per drawn frame
const STEP_PX = 4; // from bar to bar
const LEFT_PX = 72; // of the lanes' names
const RIGHT_PX = 8;
const [TEXT_Y, SPEECH_Y, WORDS_Y, AXIS_Y] = [0.2, 0.58, 0.82, 0.97]; // of the height
const LANE = 0.3; // height of the speech
const LABEL_GAP_PX = 8;
const FONT = '12px system-ui, sans-serif';
const TICKS_S = [1, 2, 5, 10, 20, 60, 120, 300];
const MIN_TICK_PX = 56;
const LOUDEST = 0.3; // a peak that fills the lane

/** @typedef {import('../playback/recording.js').Recording} Recording */

export class TimelineView {
  #canvas;
  #caption;
  #explanation; // what the caption says before there is an overlap
  #reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');
  #timeline = new Timeline();
  /** @type {Recording | null} */
  #recording = null;
  #spanMs = MIN_SPAN_MS;
  #aheadMs = 0;

  /** @param {HTMLCanvasElement} element @param {HTMLElement} caption tells the overlap in words */
  constructor(element, caption) {
    this.#canvas = new Canvas(element, () => this.draw());
    this.#caption = caption;
    this.#explanation = caption.textContent;
  }

  /** Start over. @param {Recording} recording of the speech that is going to be heard @returns {Timeline} */
  start(recording) {
    this.#recording = recording;
    this.#timeline = new Timeline();
    this.#spanMs = MIN_SPAN_MS;
    this.#aheadMs = 0;
    return this.#timeline;
  }

  /** @param {number} aheadMs audio that has arrived and will be heard next */
  update(aheadMs) {
    this.#aheadMs = aheadMs;
    const text = overlapText(this.#timeline) || this.#explanation;
    if (this.#caption.textContent !== text) this.#caption.textContent = text;
    this.draw();
  }

  draw() {
    const { widthPx } = this.#canvas;
    if (!widthPx) return;
    const wantedMs = Math.max(MIN_SPAN_MS, this.#timeline.endMs + this.#aheadMs);
    const isNear = Math.abs(wantedMs - this.#spanMs) < 10 || this.#reducedMotion.matches;
    this.#spanMs = isNear ? wantedMs : this.#spanMs + (wantedMs - this.#spanMs) * EASE;
    const pen = this.#canvas.clear();
    pen.font = FONT;
    this.#drawOverlap(pen);
    this.#drawAxis(pen);
    this.#drawText(pen);
    this.#drawSpeech(pen);
  }

  /** @param {number} atMs */
  #x = (atMs) => LEFT_PX + (atMs * this.#lanePx) / this.#spanMs;

  get #lanePx() {
    return this.#canvas.widthPx - LEFT_PX - RIGHT_PX;
  }

  /** The time in which text arrives and speech is heard. @param {CanvasRenderingContext2D} pen */
  #drawOverlap(pen) {
    const { overlap } = this.#timeline;
    if (!overlap) return;
    pen.fillStyle = this.#canvas.colour('--accent-soft');
    pen.globalAlpha = 0.55;
    const [from, to] = [this.#x(overlap.fromMs), this.#x(overlap.toMs)];
    pen.fillRect(from, 0, to - from, this.#canvas.heightPx * (AXIS_Y - 0.1));
    pen.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} pen */
  #drawAxis(pen) {
    const { widthPx, heightPx } = this.#canvas;
    const stepS = TICKS_S.find((each) => this.#x(each * 1000) - LEFT_PX >= MIN_TICK_PX) ?? TICKS_S[TICKS_S.length - 1];
    for (let s = 0; this.#x(s * 1000) < widthPx - MIN_TICK_PX / 2; s += stepS) {
      const x = this.#x(s * 1000);
      pen.fillStyle = this.#canvas.colour('--line');
      pen.fillRect(x, 0, 1, heightPx * (AXIS_Y - 0.1));
      pen.fillStyle = this.#canvas.colour('--quiet');
      pen.fillText(`${s} s`, x, heightPx * AXIS_Y);
    }
  }

  /** @param {CanvasRenderingContext2D} pen */
  #drawText(pen) {
    const { tokens, written } = this.#timeline;
    const y = this.#canvas.heightPx * TEXT_Y;
    pen.fillStyle = this.#canvas.colour('--quiet');
    pen.fillText('Written', 12, y + 8);
    pen.fillStyle = this.#canvas.colour('--text');
    for (const { atMs } of tokens) pen.fillRect(this.#x(atMs), y + 6, 2, 10);
    this.#drawLabels(pen, written, y);
  }

  /** @param {CanvasRenderingContext2D} pen */
  #drawSpeech(pen) {
    const { spans, words } = this.#timeline;
    const { heightPx } = this.#canvas;
    pen.fillStyle = this.#canvas.colour('--quiet');
    pen.fillText('Heard', 12, heightPx * SPEECH_Y + 4);
    for (const { fromMs, toMs, sound } of spans) {
      if (sound === 'speech') continue;
      pen.fillStyle = this.#canvas.colour(sound === 'pause' ? '--edge' : '--error');
      const [from, to] = [this.#x(fromMs), this.#x(toMs)];
      pen.fillRect(from, heightPx * SPEECH_Y - 2, Math.max(2, to - from), 4);
    }
    const last = spans.at(-1);
    const [played, ahead] = [this.#canvas.colour('--accent'), this.#canvas.colour('--edge')];
    for (let x = 0; x < this.#lanePx; x += STEP_PX) {
      const atMs = (x * this.#spanMs) / this.#lanePx;
      const span = this.#timeline.spanAt(atMs);
      if (span?.sound === 'speech') this.#drawBar(pen, LEFT_PX + x, Timeline.playedMs(span, atMs), played, 1);
      const aheadMs = last && atMs >= last.toMs ? last.toPlayedMs + atMs - last.toMs : Infinity;
      if (last && aheadMs < last.toPlayedMs + this.#aheadMs) this.#drawBar(pen, LEFT_PX + x, aheadMs, ahead, 0.5);
    }
    pen.fillStyle = this.#canvas.colour('--accent-strong');
    this.#drawLabels(pen, words, heightPx * WORDS_Y);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} x
   * @param {number} playedMs
   * @param {string} colour
   * @param {number} alpha
   */
  #drawBar(pen, x, playedMs, colour, alpha) {
    const { heightPx } = this.#canvas;
    const buckets = Math.max(1, Math.round((STEP_PX * this.#spanMs) / this.#lanePx / BUCKET_MS));
    const first = Math.floor(playedMs / BUCKET_MS);
    const peak = Math.max(0, ...(this.#recording?.peaks.slice(first, first + buckets) ?? []));
    const height = Math.max(2, Math.min(1, peak / LOUDEST) ** 0.7 * LANE * heightPx);
    pen.fillStyle = colour;
    pen.globalAlpha = alpha;
    pen.fillRect(x, heightPx * SPEECH_Y - height / 2, STEP_PX - 1.5, height);
    pen.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} pen @param {import('../playback/timeline.js').Mark[]} marks @param {number} y */
  #drawLabels(pen, marks, y) {
    const width = (/** @type {string} */ text) => pen.measureText(text).width;
    for (const { at, label } of labels(marks, this.#x, width, LABEL_GAP_PX)) pen.fillText(label, at, y);
  }
}

/** How far the speech was ahead of the end of the text, or ''. @param {Timeline} timeline */
export function overlapText({ overlap }) {
  if (!overlap) return '';
  const ms = overlap.toMs - overlap.fromMs;
  return `Heard while the text was still being written (shaded): ${formatSeconds(ms)}.`;
}
