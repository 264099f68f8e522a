/** The page's wish as a program, shown and copied. */

import { curl, javascript, python } from './copy_as.js';

const WRITERS = { python, javascript, curl };

export class Programs {
  #order;
  #code = /** @type {HTMLElement} */ (document.getElementById('code'));
  #buttons = [...document.querySelectorAll('#languages button')].map((each) => /** @type {HTMLButtonElement} */ (each));
  /** @type {keyof typeof WRITERS} */
  #language = 'python';
  #note = /** @type {HTMLElement} */ (document.getElementById('copied'));

  /** @param {() => import('./copy_as.js').Order} order */
  constructor(order) {
    this.#order = order;
    for (const button of this.#buttons) {
      button.addEventListener('click', () => {
        this.#language = /** @type {any} */ (button.dataset.language);
        this.show();
        this.#copy(button.textContent);
      });
    }
  }

  /** As the page stands now. */
  show() {
    this.#code.textContent = WRITERS[this.#language](this.#order());
    for (const button of this.#buttons) {
      button.setAttribute('aria-pressed', String(button.dataset.language === this.#language));
    }
  }

  /** @param {string | null} name */
  async #copy(name) {
    try {
      await navigator.clipboard.writeText(this.#code.textContent ?? '');
      this.#note.textContent = `${name} copied.`;
    } catch {
      this.#note.textContent = 'Not allowed here: select it, and copy.';
    }
  }
}
