/** The page's one way to the ear, opened by the first click that needs it. */

import { AudioOutput } from '../clients/js/sayline.js';

export class Sound {
  #volume = 1;
  #share = 1;
  /** @type {Promise<AudioOutput> | null} */
  #opening = null;
  /** @type {AudioOutput | null} */
  #output = null;

  /** In the handler of a click, before anything is awaited there: browsers keep silent until then. */
  async open() {
    this.#opening ??= AudioOutput.open();
    try {
      this.#output = await this.#opening;
    } catch (error) {
      this.#opening = null; // the next click tries again
      throw error;
    }
    this.#apply();
    return this.#output;
  }

  /** @param {number} volume 0 to 1 */
  set volume(volume) {
    this.#volume = volume;
    this.#apply();
  }

  /** So many are heard at once: none of them as loud as one alone. @param {number} voices */
  set voices(voices) {
    this.#share = 1 / Math.sqrt(voices);
    this.#apply();
  }

  #apply() {
    if (this.#output) this.#output.volume = this.#volume * this.#share;
  }
}
