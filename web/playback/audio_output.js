/** The page's shared audio output, opened on the first click that needs it. */

import { AudioOutput } from '../../clients/js/sayline.js';

const NOT_LOADED = 'The audio player could not be loaded, because the server cannot be reached. Press Speak to try again.';

export class SharedAudioOutput {
  #volume = 1;
  #voiceGain = 1;
  /** @type {Promise<AudioOutput> | null} */
  #opening = null;
  /** @type {AudioOutput | null} */
  #output = null;

  /** Call inside a click handler, before the first `await`: browsers block audio without a user gesture. */
  async open() {
    this.#opening ??= AudioOutput.open();
    try {
      this.#output = await this.#opening;
    } catch (/** @type {any} */ error) {
      this.#opening = null; // the next click tries again
      throw error.name === 'AbortError' ? new Error(NOT_LOADED) : error; // the worklet's script did not arrive
    }
    this.#apply();
    return this.#output;
  }

  /** Open it before it is needed, so that a server that is lost later does not matter. Call it like `open`. */
  preload() {
    if (!this.#opening && navigator.userActivation?.isActive) this.open().catch(() => {}); // the next click reports it
  }

  /** @param {number} volume 0 to 1 */
  set volume(volume) {
    this.#volume = volume;
    this.#apply();
  }

  /** The number of voices playing at once; each is attenuated so that the sum does not clip. @param {number} count */
  set voiceCount(count) {
    this.#voiceGain = 1 / Math.sqrt(count);
    this.#apply();
  }

  #apply() {
    if (this.#output) this.#output.volume = this.#volume * this.#voiceGain;
  }
}
