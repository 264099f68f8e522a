/** When the text of one speech was written and when its audio was heard, on one clock that starts with the text. */

/**
 * @typedef {'speech' | 'pause' | 'underrun'} Sound `pause`: the writer has to go on first
 * @typedef {{fromMs: number, toMs: number, fromPlayedMs: number, toPlayedMs: number, sound: Sound}} Span
 * @typedef {{atMs: number, text: string}} Mark
 */

export class Timeline {
  /** Pieces of text as they were sent. @type {Mark[]} */
  tokens = [];
  /** The same, joined to words. @type {Mark[]} */
  written = [];
  /** Words as they were heard. @type {Mark[]} */
  words = [];
  /** What was heard, in order; while the user paused, there is none. @type {Span[]} */
  spans = [];
  #startAtMs = 0;
  #isOpen = false; // whether the last span goes on

  /** @param {string} text */
  addToken(text, nowMs = performance.now()) {
    if (!this.tokens.length) this.#startAtMs = nowMs;
    const atMs = nowMs - this.#startAtMs;
    this.tokens.push({ atMs, text });
    const word = this.written.at(-1);
    if (word && /^\S/u.test(text)) word.text += text;
    else this.written.push({ atMs, text });
  }

  /**
   * What is heard now. Null: nothing, because the user paused it.
   * @param {Sound | null} sound @param {number} playedMs
   */
  addSound(sound, playedMs, nowMs = performance.now()) {
    const atMs = nowMs - this.#startAtMs;
    const last = this.spans.at(-1);
    if (last && this.#isOpen) Object.assign(last, { toMs: atMs, toPlayedMs: playedMs });
    if (last?.sound !== sound || !this.#isOpen) {
      if (sound) this.spans.push({ fromMs: atMs, toMs: atMs, fromPlayedMs: playedMs, toPlayedMs: playedMs, sound });
    }
    this.#isOpen = sound !== null;
  }

  /**
   * Note the words that have begun by now.
   * @param {{text: string, start_ms: number}[]} words all words so far @param {number} playedMs
   */
  addWords(words, playedMs, nowMs = performance.now()) {
    while (this.words.length < words.length && words[this.words.length].start_ms < playedMs) {
      this.words.push({ atMs: nowMs - this.#startAtMs, text: words[this.words.length].text });
    }
  }

  /** The time until which something happened. */
  get endMs() {
    return Math.max(this.tokens.at(-1)?.atMs ?? 0, this.spans.at(-1)?.toMs ?? 0);
  }

  /** The time from the first speech to the last token; null if the speech did not start before. */
  get overlap() {
    const fromMs = this.spans[0]?.fromMs;
    const toMs = this.tokens.at(-1)?.atMs ?? 0;
    return fromMs !== undefined && toMs > fromMs ? { fromMs, toMs } : null;
  }

  /** The span at this time, if there is one. @param {number} atMs */
  spanAt(atMs) {
    return this.spans.findLast(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs);
  }

  /** The position in the speech that was heard at a time of this span. @param {Span} span @param {number} atMs */
  static playedMs({ fromMs, toMs, fromPlayedMs, toPlayedMs }, atMs) {
    return fromPlayedMs + ((atMs - fromMs) / (toMs - fromMs)) * (toPlayedMs - fromPlayedMs);
  }
}

/**
 * The marks whose texts do not cover each other, with the position of each.
 * @param {Mark[]} marks
 * @param {(atMs: number) => number} x
 * @param {(text: string) => number} width in the same unit
 * @param {number} gap
 */
export function labels(marks, x, width, gap) {
  const shown = [];
  let free = -Infinity;
  for (const { atMs, text } of marks) {
    const label = text.trim();
    const at = x(atMs);
    if (!label || at < free) continue;
    shown.push({ at, label });
    free = at + width(label) + gap;
  }
  return shown;
}
