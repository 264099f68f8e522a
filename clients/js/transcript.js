/** The text of one context as it was sent, and when which word of it is heard. Told both as they come. */

/** Behind the newest word, at least; what lies before that is forgotten. */
export const KEPT_CHARS = 16_384;

export class Transcript {
  /** Code points, which is what the protocol counts. @type {string[]} */
  #chars = [];
  #start = 0; // of `#chars`, in all that was sent
  /** @type {import('./wire.js').WordMessage[]} */
  #words = [];

  /** @param {string} text */
  add(text) {
    for (const char of text) this.#chars.push(char);
  }

  /** The next word that will be heard. @param {import('./wire.js').WordMessage} word */
  tell(word) {
    this.#words.push(word);
    const start = word.start_char - KEPT_CHARS;
    if (start - this.#start < KEPT_CHARS) return; // not a little each time
    this.#chars.splice(0, start - this.#start);
    this.#start = start;
    this.#words = this.#words.filter(({ end_char }) => end_char > start);
  }

  /** Of the newest word, as it was in truth. @param {number} end_ms */
  tellEnd(end_ms) {
    const word = this.#words.pop();
    if (word) this.#words.push({ ...word, end_ms });
  }

  /**
   * How many characters were heard, and the text before and behind: to the last word of which half was heard.
   * @param {number} playedMs
   */
  parted(playedMs) {
    const heard = this.#words.findLast(({ start_ms, end_ms }) => (start_ms + end_ms) / 2 <= playedMs);
    const heard_chars = heard?.end_char ?? this.#start;
    const at = heard_chars - this.#start;
    return {
      heard_chars,
      heard_text: this.#chars.slice(0, at).join(''),
      unheard_text: this.#chars.slice(at).join(''),
    };
  }
}
