/** The text of one context with the times of its words, to split it into heard and unheard text. */

/** Text that is kept before the newest word, at least; older text is dropped. */
export const KEPT_CHARS = 16_384;

export class Transcript {
  /** Code points, as the protocol counts. @type {string[]} */
  #chars = [];
  #startChar = 0; // the position of `#chars` in the whole text
  /** @type {import('./wire.js').WordMessage[]} */
  #words = [];
  #lastHasEnded = false; // of the newest word it is known when

  /** @param {string} text */
  addText(text) {
    for (const char of text) this.#chars.push(char);
  }

  /** @param {import('./wire.js').WordMessage} word */
  addWord(word) {
    this.#words.push(word);
    this.#lastHasEnded = false;
    const firstChar = word.start_char - KEPT_CHARS;
    if (firstChar - this.#startChar < KEPT_CHARS) return; // drops text in large steps only
    this.#chars.splice(0, firstChar - this.#startChar);
    this.#startChar = firstChar;
    this.#words = this.#words.filter(({ end_char }) => end_char > firstChar);
  }

  /** Set the exact end of the newest word. @param {number} end_ms */
  setWordEnd(end_ms) {
    const word = this.#words.pop();
    if (!word) return;
    this.#words.push({ ...word, end_ms });
    this.#lastHasEnded = true;
  }

  /**
   * Where the last word ends that lies within so much audio as a whole; 0 if none is known to. A word ends where the
   * next one begins, or when it was told to. Estimated times tell nothing.
   * @param {number} receivedMs
   */
  wholeChars(receivedMs) {
    const isWhole = (/** @type {import('./wire.js').WordMessage} */ word, /** @type {number} */ at) => {
      const next = this.#words[at + 1];
      const ended = next ? next.start_ms <= receivedMs : this.#lastHasEnded && word.end_ms <= receivedMs;
      return ended && !word.estimated;
    };
    return this.#words.findLast(isWhole)?.end_char ?? 0;
  }

  /** Forget the words after this: they will be told again. @param {number} endChar */
  forgetWords(endChar) {
    this.#words = this.#words.filter((word) => word.end_char <= endChar);
  }

  /**
   * Split the text after the last word of which at least half was played.
   * @param {number} playedMs
   */
  splitHeard(playedMs) {
    const lastHeard = this.#words.findLast(({ start_ms, end_ms }) => (start_ms + end_ms) / 2 <= playedMs);
    return this.splitAt(lastHeard?.end_char ?? this.#startChar);
  }

  /** The text up to there, and the rest. @param {number} heard_chars */
  splitAt(heard_chars) {
    const at = heard_chars - this.#startChar;
    return {
      heard_chars,
      heard_text: this.#chars.slice(0, at).join(''),
      unheard_text: this.#chars.slice(at).join(''),
    };
  }
}
