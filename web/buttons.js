/** The buttons that make something heard: what each says, and whether it can be pressed. */

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

export class Buttons {
  #speak = element('speak');
  #pause = element('pause');
  #crowd = element('crowd-speak');
  #crowdSize = element('crowd-size');

  /** @param {{speak: () => any, pause: () => void, crowd: () => any}} on */
  constructor({ speak, pause, crowd }) {
    this.#speak.form.addEventListener('submit', speak);
    this.#pause.addEventListener('click', pause);
    this.#crowd.addEventListener('click', crowd);
  }

  /** @param {import('./floor.js').Act | null} act @param {boolean} isConnected @param {boolean} isCrowd */
  show(act, isConnected, isCrowd) {
    this.#speak.disabled = false;
    this.#speak.textContent = act ? 'Stop' : isConnected ? 'Speak' : 'Connect';
    this.#pause.disabled = !act?.pause || !['speaking', 'paused'].includes(act.phase);
    this.#pause.textContent = act?.phase === 'paused' ? 'Resume' : 'Pause';
    this.#crowd.disabled = !isConnected;
    this.#crowd.textContent = isCrowd ? 'Stop' : 'Speak together';
    this.#crowdSize.disabled = isCrowd;
  }
}
