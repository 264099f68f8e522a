/** The download buttons: audio is generated again with the same seed, which gives the same audio; and subtitles. */

import { webVtt } from '../playback/subtitles.js';
import { errorText, saveErrorText } from '../status_text.js';
import { requestBody } from './code_samples.js';

const MAX_NAME_CHARS = 40;
const SUBTITLES = 'vtt';

export class Downloads {
  #request;
  #headers;
  #words;
  #note = /** @type {HTMLElement} */ (document.getElementById('save-note'));
  #buttons = [...document.querySelectorAll('#downloads button')].map((each) => /** @type {HTMLButtonElement} */ (each));

  /**
   * @param {() => import('./code_samples.js').SpeechDescription} request
   * @param {() => Record<string, string>} headers
   * @param {() => import('../playback/word_times.js').TimedWord[]} words of the latest speech
   */
  constructor(request, headers, words) {
    this.#request = request;
    this.#headers = headers;
    this.#words = words;
    for (const button of this.#buttons) button.addEventListener('click', () => this.#download(button));
    const usual = this.#note.textContent ?? '';
    document.getElementById('text')?.addEventListener('input', () => this.#showNote(usual)); // it is about another text
  }

  /** Enable the buttons that can be used. @param {boolean} isConnected */
  update(isConnected) {
    for (const button of this.#buttons) {
      button.disabled = button.dataset.format === SUBTITLES ? !this.#words().length : !isConnected;
    }
  }

  /** @param {HTMLButtonElement} button */
  async #download(button) {
    if (button.dataset.format === SUBTITLES) return this.#downloadSubtitles();
    const format = button.dataset.format ?? '';
    const request = this.#request();
    const name = fileName(request.text, format);
    button.disabled = true;
    this.#showNote(`Making ${name}…`);
    try {
      save(await generate(request, format, this.#headers()), name);
      this.#showNote(`Saved as ${name}.`);
    } catch (error) {
      this.#showNote(errorText({ message: saveErrorText(/** @type {any} */ (error)) }), true);
    }
    button.disabled = false;
  }

  #downloadSubtitles() {
    const words = this.#words();
    const name = fileName(words.map(({ text }) => text).join(' '), SUBTITLES);
    save(new Blob([webVtt(words)], { type: 'text/vtt' }), name);
    this.#showNote(`Saved as ${name}.`);
  }

  #showNote(message, isError = false) {
    this.#note.textContent = message;
    this.#note.classList.toggle('error', isError);
  }
}

/** A file name from the first words of a text, valid on every system. @param {string} text @param {string} format */
export function fileName(text, format) {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  let name = '';
  for (const word of words) {
    if (name.length + word.length >= MAX_NAME_CHARS) break;
    name += name ? `-${word}` : word;
  }
  return `${name || 'speech'}.${format}`;
}

/**
 * Have the server generate a file. Throws an error with the server's message.
 * @param {Parameters<typeof requestBody>[0]} description
 * @param {string} format
 * @param {Record<string, string>} headers
 */
async function generate(description, format, headers) {
  const request = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(requestBody(description, format)),
  };
  const response = await fetch('/generate', request).catch(() => null);
  if (!response) throw new Error('the server cannot be reached: check that it is running, then save again');
  if (response.ok) return response.blob();
  const { message, code } = (await response.json().catch(() => null))?.error ?? {};
  throw Object.assign(new Error(message ?? `the server responded with status ${response.status}`), { code });
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
