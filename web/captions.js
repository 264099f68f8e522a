/** The text as it is written, each word of it lit while it is heard. */

import { places } from './places.js';
import { when } from './telling.js';
import { WordTimes } from './word_times.js';

export class Captions {
  /** Told from when somebody wants to hear it again. */
  onSeek = (/** @type {number} */ _ms) => {};

  #box;
  #tail = new Text();
  #tailAt = 0; // in code points of all text, which is what the server counts
  #times = new WordTimes();
  /** Of these words. @type {HTMLElement[]} */
  #elements = [];
  #begun = 0; // words
  #spoken = -1; // which word

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
    box.addEventListener('click', ({ target }) => {
      if (!box.classList.contains('again')) return;
      const word = this.words[this.#elements.findIndex((element) => element === target)];
      if (word) this.onSeek(word.start_ms);
    });
  }

  /** Told so far. */
  get words() {
    return this.#times.words;
  }

  clear() {
    this.#tail = new Text();
    this.#box.replaceChildren();
    this.#box.scrollTop = 0;
    this.#tailAt = this.#begun = 0;
    this.#spoken = -1;
    this.#times = new WordTimes();
    this.#elements = [];
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

  /** The next word that will be heard. @param {import('../clients/js/context.js').Word} told */
  tell(told) {
    const { start_char, end_char } = told;
    const place = places(this.#tail.data, start_char - this.#tailAt, end_char - this.#tailAt);
    if (!place) return;
    const word = this.#tail.splitText(place.start);
    this.#tail = word.splitText(place.end - place.start);
    this.#tailAt = end_char;
    const element = document.createElement('span');
    word.replaceWith(element);
    element.append(word);
    element.title = when(told);
    this.#elements.push(element);
    this.#times.tell(told);
  }

  /** When the newest word was over. @param {import('../clients/js/wire.js').WordEndMessage} end */
  tellEnd(end) {
    this.#times.tellEnd(end);
    const word = this.words.at(-1);
    if (word) this.#elements[this.#elements.length - 1].title = when(word);
  }

  /** @param {number} playedMs */
  light(playedMs) {
    const [begun, spoken] = [this.#times.begun(playedMs), this.#times.spoken(playedMs)];
    if (begun === this.#begun && spoken === this.#spoken) return;
    this.rest();
    for (let n = Math.min(begun, this.#begun); n < Math.max(begun, this.#begun); n++) {
      this.#elements[n].classList.toggle('heard', n < begun);
    }
    this.#begun = begun;
    this.#spoken = spoken;
    this.#point(this.#elements[spoken]);
  }

  /** Silence: no word is being spoken. */
  rest() {
    this.#elements[this.#spoken]?.classList.remove('now');
  }

  /** So much had been heard when it was stopped. @param {number} chars */
  cut(chars) {
    this.rest();
    this.#spoken = -1;
    this.#begun = this.words.filter(({ end_char }) => end_char <= chars).length;
    this.#elements.forEach((element, n) => element.classList.toggle('heard', n < this.#begun));
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
