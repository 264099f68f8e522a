/** What the user entered and chose, kept in the browser so that it survives a reload. */

const KEY = 'sayline-page';
const FIELDS = ['text', 'speed', 'temperature', 'steps', 'seed', 'format', 'llm', 'rate', 'volume', 'multi-voice-size'];

export class Preferences {
  /** @type {Record<string, string | boolean>} */
  #saved = read();

  /** The id of the voice that was selected last; undefined if none was. */
  get voice() {
    return /** @type {string | undefined} */ (this.#saved.voice);
  }

  set voice(voice) {
    if (voice !== undefined) this.#save('voice', voice);
  }

  /** Fill in the fields, each with an `input` event, and save every later change. */
  install() {
    for (const id of FIELDS) {
      const field = /** @type {any} */ (document.getElementById(id));
      const property = field.type === 'checkbox' ? 'checked' : 'value';
      if (id in this.#saved) field[property] = this.#saved[id];
      if (id in this.#saved) field.dispatchEvent(new Event('input', { bubbles: true }));
      field.addEventListener('input', () => this.#save(id, field[property]));
    }
  }

  /** @param {string} name @param {string | boolean} value */
  #save(name, value) {
    this.#saved[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#saved));
    } catch {
      // The browser forbids or is out of storage: the page works without.
    }
  }
}

/** @returns {Record<string, string | boolean>} */
function read() {
  try {
    return { ...JSON.parse(localStorage.getItem(KEY) ?? '{}') };
  } catch {
    return {};
  }
}
