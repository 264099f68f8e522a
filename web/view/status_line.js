/** The status line. An error that says when to try again counts down beside it. */

import { errorText } from '../status_text.js';

const TICK_MS = 1000;
const RETRY_TIME = /[;,:]?\s*\b(re)?try (again )?in [\d.]+ s\b/iu; // the countdown replaces it

export class StatusLine {
  #line;
  #countdown;
  #timer = 0;

  /** @param {HTMLElement} line a live region @param {HTMLElement} countdown outside of it: it changes every second */
  constructor(line, countdown) {
    this.#line = line;
    this.#countdown = countdown;
  }

  get text() {
    return this.#line.textContent ?? '';
  }

  /** @param {string} message @param {boolean} [isError] */
  show(message, isError = false) {
    clearInterval(this.#timer);
    this.#countdown.textContent = '';
    this.#write(message, isError);
  }

  /** @param {{message: string, retryAfterMs?: number}} error */
  showError(error) {
    if (!error.retryAfterMs) return this.show(errorText(error), true);
    const text = errorText(error, false).replace(RETRY_TIME, '');
    this.show(text, true);
    let seconds = Math.ceil(error.retryAfterMs / 1000);
    const tick = () => {
      if (seconds === 0) return this.show(`${text} Press Speak to try again.`, true);
      this.#countdown.textContent = `Try again in ${seconds--} s`;
    };
    tick();
    this.#timer = setInterval(tick, TICK_MS);
  }

  /** @param {string} message @param {boolean} isError */
  #write(message, isError) {
    if (this.#line.textContent !== message) this.#line.textContent = message; // screen readers announce every change
    this.#line.classList.toggle('error', isError);
  }
}
