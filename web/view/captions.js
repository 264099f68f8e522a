/** The spoken text as captions; highlights each word while it is played. */

import { WordTimes } from '../playback/word_times.js';
import { wordTimesText } from '../status_text.js';

export class Captions {
  /** Called with the start time of a word that the user clicks. */
  onSeek = (/** @type {number} */ _ms) => {};

  #box;
  #tail = new Text();
  #tailStartChar = 0; // in code points of the whole text, as the server counts
  #times = new WordTimes();
  /** One for each word of `#times`. @type {HTMLElement[]} */
  #elements = [];
  #playedCount = 0; // words that have started
  #current = -1; // index of the highlighted word

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
    box.addEventListener('click', ({ target }) => {
      if (!box.classList.contains('seekable')) return;
      const word = this.words[this.#elements.findIndex((element) => element === target)];
      if (word) this.onSeek(word.start_ms);
    });
  }

  /** The words received so far. */
  get words() {
    return this.#times.words;
  }

  clear() {
    this.#tail = new Text();
    this.#box.replaceChildren();
    this.#box.scrollTop = 0;
    this.#tailStartChar = this.#playedCount = 0;
    this.#current = -1;
    this.#times = new WordTimes();
    this.#elements = [];
  }

  /** @param {boolean} seekable */
  setSeekable(seekable) {
    this.#box.classList.toggle('seekable', seekable);
  }

  /** @param {string} piece */
  appendText(piece) {
    if (!this.#tail.parentNode) this.#box.append(this.#tail);
    this.#tail.appendData(piece);
  }

  /** Wrap the next spoken word in an element. @param {import('../../clients/js/context.js').Word} word */
  addWord(word) {
    const { start_char, end_char } = word;
    const tailStart = this.#tailStartChar;
    const offsets = textOffsets(this.#tail.data, start_char - tailStart, end_char - tailStart);
    if (!offsets) return;
    const node = this.#tail.splitText(offsets.start);
    this.#tail = node.splitText(offsets.end - offsets.start);
    this.#tailStartChar = end_char;
    const element = document.createElement('span');
    node.replaceWith(element);
    element.append(node);
    element.title = wordTimesText(word);
    this.#elements.push(element);
    this.#times.add(word);
  }

  /** Set the exact end of the newest word. @param {import('../../clients/js/wire.js').WordEndMessage} end */
  setWordEnd(end) {
    this.#times.setEnd(end);
    const word = this.words.at(-1);
    if (word) this.#elements[this.#elements.length - 1].title = wordTimesText(word);
  }

  /** Highlight the word at this position and mark all words up to it as played. @param {number} playedMs */
  highlight(playedMs) {
    const [count, current] = [this.#times.startedCount(playedMs), this.#times.indexAt(playedMs)];
    if (count === this.#playedCount && current === this.#current) return;
    this.clearHighlight();
    for (let n = Math.min(count, this.#playedCount); n < Math.max(count, this.#playedCount); n++) {
      this.#elements[n].classList.toggle('played', n < count);
    }
    this.#playedCount = count;
    this.#current = current;
    this.#setCurrent(this.#elements[current]);
  }

  clearHighlight() {
    this.#elements[this.#current]?.classList.remove('current');
  }

  /**
   * Mark the words within the first `chars` characters as played, and strike all other text through.
   * @param {number} chars
   */
  markHeard(chars) {
    this.clearHighlight();
    this.#current = -1;
    this.#playedCount = this.words.filter(({ end_char }) => end_char <= chars).length;
    this.#elements.forEach((element, n) => element.classList.toggle('played', n < this.#playedCount));
    const nodes = [...this.#box.childNodes];
    const heard = this.#elements[this.#playedCount - 1];
    const unheard = document.createElement('s');
    unheard.append(...nodes.slice(heard ? nodes.indexOf(heard) + 1 : 0));
    this.#box.append(unheard);
  }

  /** Highlight an element and scroll it into view. @param {HTMLElement | undefined} element */
  #setCurrent(element) {
    if (!element) return;
    element.classList.add('current');
    const top = element.offsetTop - this.#box.scrollTop;
    const isHidden = top < 0 || top + element.offsetHeight > this.#box.clientHeight * 0.75;
    if (isHidden) this.#box.scrollTop = element.offsetTop - this.#box.clientHeight / 4;
  }
}

/**
 * Convert a range in code points, which the server counts, to a range in UTF-16 code units, which strings count.
 * Returns null if the text does not contain the range.
 * @param {string} text
 * @param {number} startChar
 * @param {number} endChar
 */
export function textOffsets(text, startChar, endChar) {
  if (startChar < 0 || endChar <= startChar) return null;
  let [chars, offset, start] = [0, 0, 0];
  for (const char of text) {
    if (chars === startChar) start = offset;
    if (chars === endChar) break;
    offset += char.length;
    chars++;
  }
  return chars === endChar ? { start, end: offset } : null;
}
