/** What was heard, as a file: the server speaks it again, and the same seed gives the same audio. And its subtitles. */

import { body } from './copy_as.js';
import { webVtt } from './subtitles.js';
import { failed } from './telling.js';

const NAME_CHARS = 40;
const SUBTITLES = 'vtt';

export class Downloads {
  #order;
  #headers;
  #words;
  #note = /** @type {HTMLElement} */ (document.getElementById('save-note'));
  #buttons = [...document.querySelectorAll('#downloads button')].map((each) => /** @type {HTMLButtonElement} */ (each));

  /**
   * @param {() => import('./copy_as.js').Order} order
   * @param {() => Record<string, string>} headers
   * @param {() => import('./word_times.js').TimedWord[]} words of what was heard
   */
  constructor(order, headers, words) {
    this.#order = order;
    this.#headers = headers;
    this.#words = words;
    for (const button of this.#buttons) button.addEventListener('click', () => this.#give(button));
  }

  /** @param {boolean} isConnected */
  show(isConnected) {
    for (const button of this.#buttons) {
      button.disabled = button.dataset.format === SUBTITLES ? !this.#words().length : !isConnected;
    }
  }

  /** @param {HTMLButtonElement} button */
  async #give(button) {
    if (button.dataset.format === SUBTITLES) return this.#giveSubtitles();
    const order = this.#order();
    const name = fileName(order.text, button.dataset.format ?? '');
    button.disabled = true;
    this.#tell(`Making ${name}…`);
    try {
      save(await made(order, button.dataset.format ?? '', this.#headers()), name);
      this.#tell(`Saved as ${name}.`);
    } catch (error) {
      this.#tell(failed(/** @type {Error} */ (error)), true);
    }
    button.disabled = false;
  }

  #giveSubtitles() {
    const words = this.#words();
    const name = fileName(words.map(({ text }) => text).join(' '), SUBTITLES);
    save(new Blob([webVtt(words)], { type: 'text/vtt' }), name);
    this.#tell(`Saved as ${name}.`);
  }

  #tell(message, fault = false) {
    this.#note.textContent = message;
    this.#note.classList.toggle('fault', fault);
  }
}

/** The text's first words, as every system takes them. @param {string} text @param {string} format */
export function fileName(text, format) {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  let name = '';
  for (const word of words) {
    if (name.length + word.length >= NAME_CHARS) break;
    name += name ? `-${word}` : word;
  }
  return `${name || 'speech'}.${format}`;
}

/**
 * Throws an error whose message is the server's.
 * @param {Parameters<typeof body>[0]} order
 * @param {string} format
 * @param {Record<string, string>} headers
 */
async function made(order, format, headers) {
  const response = await fetch('/generate', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body(order, format)),
  });
  if (response.ok) return response.blob();
  const told = await response.json().catch(() => null);
  throw new Error(told?.error?.message ?? `the server answered ${response.status}`);
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
