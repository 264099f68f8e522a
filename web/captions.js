/** The text as it is written, each word of it lit when it is heard. */

import { places } from './places.js';

/** @typedef {{element: HTMLElement, startMs: number, endChar: number}} Lit */

export class Captions {
  /** Told from when somebody wants to hear it again. */
  onSeek = (/** @type {number} */ _ms) => {};

  #box;
  #tail = new Text();
  #tailAt = 0; // in code points of all text, which is what the server counts
  /** @type {Lit[]} */
  #words = [];
  #lit = 0; // words that have begun to be heard

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
    box.addEventListener('click', ({ target }) => {
      if (!box.classList.contains('again')) return;
      const word = this.#words.find(({ element }) => element === target);
      if (word) this.onSeek(word.startMs);
    });
  }

  clear() {
    this.#tail = new Text();
    this.#box.replaceChildren();
    this.#box.scrollTop = 0;
    this.#tailAt = this.#lit = 0;
    this.#words = [];
  }

  /** @param {boolean} seekable */
  setSeekable(seekable) {
    this.#box.classList.toggle('again', seekable);
  }

  /** @param {string} piece */
  write(piece) {
    if (!this.#tail.parentNode) this.#box.append(this.#tail);
    this.#tail.appendData(piece);
  }

  /** The next word that will be heard. @param {{start_char: number, end_char: number, start_ms: number}} word */
  tell({ start_char, end_char, start_ms }) {
    const place = places(this.#tail.data, start_char - this.#tailAt, end_char - this.#tailAt);
    if (!place) return;
    const word = this.#tail.splitText(place.start);
    this.#tail = word.splitText(place.end - place.start);
    this.#tailAt = end_char;
    const element = document.createElement('span');
    word.replaceWith(element);
    element.append(word);
    this.#words.push({ element, startMs: start_ms, endChar: end_char });
  }

  /** @param {number} playedMs */
  light(playedMs) {
    let lit = this.#lit;
    while (lit < this.#words.length && this.#words[lit].startMs < playedMs) lit++;
    while (lit > 0 && this.#words[lit - 1].startMs >= playedMs) lit--;
    if (lit === this.#lit) return;
    this.#words[this.#lit - 1]?.element.classList.remove('now');
    for (let n = Math.min(lit, this.#lit); n < Math.max(lit, this.#lit); n++) {
      this.#words[n].element.classList.toggle('heard', n < lit);
    }
    this.#lit = lit;
    this.#point(this.#words[lit - 1]?.element);
  }

  /** Silence: no word is being spoken. */
  rest() {
    this.#words[this.#lit - 1]?.element.classList.remove('now');
  }

  /** So much had been heard when it was stopped. @param {number} chars */
  cut(chars) {
    this.rest();
    this.#lit = this.#words.filter(({ endChar }) => endChar <= chars).length;
    this.#words.forEach(({ element }, n) => element.classList.toggle('heard', n < this.#lit));
  }

  /** @param {HTMLElement | undefined} element */
  #point(element) {
    if (!element) return;
    element.classList.add('now');
    const top = element.offsetTop - this.#box.scrollTop;
    const hidden = top < 0 || top + element.offsetHeight > this.#box.clientHeight * 0.75;
    if (hidden) this.#box.scrollTop = element.offsetTop - this.#box.clientHeight / 4;
  }
}
