/**
 * The text to speak, and in its place the words while they are spoken: both lie on top of each other, and one is shown.
 * After a stop it also offers the part that was heard.
 */

const COPIED_MS = 2000;

export class ScriptView {
  /** While speech is in progress, the words stay. */
  isSpeaking = false;
  #box = /** @type {HTMLElement} */ (document.getElementById('script'));
  #text = /** @type {HTMLTextAreaElement} */ (document.getElementById('text'));
  #words = /** @type {HTMLElement} */ (document.getElementById('captions'));
  #memory = /** @type {HTMLElement} */ (document.getElementById('memory'));
  #copy = /** @type {HTMLButtonElement} */ (document.getElementById('copy-heard'));
  #heard = '';

  constructor() {
    this.#text.addEventListener('input', () => this.showText());
    for (const event of ['focus', 'pointerdown']) {
      this.#text.addEventListener(event, () => this.isSpeaking || this.showText());
    }
    // The invisible text takes the wheel and the keys: both scroll together.
    this.#text.addEventListener('scroll', () => (this.#words.scrollTop = this.#text.scrollTop));
    this.#copy.addEventListener('click', () => this.#copyHeard());
  }

  showText() {
    this.#box.classList.remove('words');
    this.#words.hidden = this.#memory.hidden = true;
  }

  showWords() {
    this.#box.classList.add('words');
    this.#words.hidden = false;
    this.#memory.hidden = true;
  }

  /** Offer what was heard before a stop. @param {string} heard */
  showMemory(heard) {
    this.#heard = heard;
    this.#copy.textContent = 'Copy';
    this.#memory.hidden = this.#words.hidden;
  }

  async #copyHeard() {
    const isCopied = await navigator.clipboard.writeText(this.#heard).then(() => true, () => false);
    this.#copy.textContent = isCopied ? 'Copied' : 'Blocked by the browser';
    setTimeout(() => (this.#copy.textContent = 'Copy'), COPIED_MS);
  }
}
