/** The text of one context with the times of its words, to split it into heard and unheard text. */

/** Text that is kept before the newest word, at least; older text is dropped. */
export const KEPT_CHARS = 16_384;

export class Transcript {
  /** Code points, as the protocol counts. @type {string[]} */
  #chars = [];
  #startChar = 0; // the position of `#chars` in the whole text
  /** @type {import('./wire.js').WordMessage[]} */
  #words = [];

  /** @param {string} text */
  addText(text) {
    for (const char of text) this.#chars.push(char);
  }

  /** @param {import('./wire.js').WordMessage} word */
  addWord(word) {
    this.#words.push(word);
    const firstChar = word.start_char - KEPT_CHARS;
    if (firstChar - this.#startChar < KEPT_CHARS) return; // drops text in large steps only
    this.#chars.splice(0, firstChar - this.#startChar);
    this.#startChar = firstChar;
    this.#words = this.#words.filter(({ end_char }) => end_char > firstChar);
  }

  /** Set the exact end of the newest word. @param {number} end_ms */
  setWordEnd(end_ms) {
    const word = this.#words.pop();
    if (word) this.#words.push({ ...word, end_ms });
  }

  /**
   * Split the text after the last word of which at least half was played.
   * @param {number} playedMs
   */
  splitHeard(playedMs) {
    const lastHeard = this.#words.findLast(({ start_ms, end_ms }) => (start_ms + end_ms) / 2 <= playedMs);
    const heard_chars = lastHeard?.end_char ?? this.#startChar;
    const at = heard_chars - this.#startChar;
    return {
      heard_chars,
      heard_text: this.#chars.slice(0, at).join(''),
      unheard_text: this.#chars.slice(at).join(''),
    };
  }
}
