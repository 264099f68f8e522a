/** The voices on the page: one is chosen, heard, made or deleted. Knows the server only by what it is given. */

import { failed } from './telling.js';
import { ClonePanel } from './voice_clone.js';
import { VoiceDoors } from './voice_doors.js';

/** @typedef {import('./voice_doors.js').Voice} Voice */
/**
 * @typedef {object} Server what the page offers
 * @property {() => Record<string, string>} headers of requests over HTTP
 * @property {(voice: string, text: string) => Promise<void>} say until it is heard, or hushed
 * @property {() => void} hush
 * @property {(message: string, fault?: boolean) => void} tell
 */

/** By how a model's name begins. @type {Record<string, string>} */
const PHRASES = {
  dutch: 'Hallo, zo klink ik.',
  french: 'Bonjour, voici comment je parle.',
  german: 'Hallo, so klinge ich.',
  italian: 'Ciao, ecco come parlo.',
  portuguese: 'Olá, é assim que eu falo.',
  spanish: 'Hola, así es como hablo.',
};
const ENGLISH = 'Hello, this is how I sound.';

/**
 * @param {{root: HTMLElement, server: Server}} page `root` has a `change` event when another voice is chosen
 */
export function installVoices({ root, server }) {
  return new Voices(root, server);
}

class Voices {
  #root;
  #server;
  #doors;
  #select;
  #preview;
  #remove;
  #farewell;
  /** @type {Voice[]} */ #voices = [];
  #usual = '';
  #phrase = ENGLISH;
  #open = false;
  #previewing = false;

  /** @param {HTMLElement} root @param {Server} server */
  constructor(root, server) {
    const element = (/** @type {string} */ id) => /** @type {any} */ (root.querySelector(`#${id}`));
    this.#root = root;
    this.#server = server;
    this.#doors = new VoiceDoors(() => server.headers());
    this.#select = element('voice');
    this.#preview = element('preview');
    this.#remove = element('voice-delete');
    this.#farewell = element('voice-farewell');
    this.#listen();
    new ClonePanel(root, this.#doors, {
      made: (voice) => this.#add(voice),
      discarded: () => this.#refresh(),
      hear: () => this.#hear(),
      done: () => this.#select.focus(),
    });
  }

  /** The id of the one that is chosen; undefined before there is any. @returns {string | undefined} */
  get voice() {
    return this.#voices.length ? this.#select.value : undefined;
  }

  /**
   * There is a session: with its voices, and those that people made.
   * @param {{model: string, voices: string[], default_voice: string}} ready
   */
  async open({ model, voices, default_voice }) {
    this.#usual = default_voice;
    this.#phrase = PHRASES[model.split('_')[0]] ?? ENGLISH;
    this.#open = true;
    const made = this.#voices.filter(({ kind }) => kind === 'cloned');
    this.#show([...voices.map(builtIn), ...made]);
    await this.#refresh();
  }

  /** The session is gone. */
  close() {
    this.#open = false;
    this.#showChoice();
  }

  #listen() {
    this.#select.addEventListener('change', () => {
      if (this.#previewing) this.#server.hush();
      this.#showChoice();
    });
    this.#preview.addEventListener('click', () => (this.#previewing ? this.#server.hush() : this.#hear()));
    this.#remove.addEventListener('click', () => this.#ask());
    this.#farewell.addEventListener('close', () => this.#farewell.returnValue === 'delete' && this.#delete());
  }

  async #hear() {
    if (!this.#open) {
      this.#server.tell('Connect first: without a server nobody speaks.', true);
      return;
    }
    this.#showPreview(true);
    try {
      await this.#server.say(this.#select.value, this.#phrase);
    } catch (/** @type {any} */ error) {
      this.#server.tell(failed(error), true);
    }
    this.#showPreview(false);
  }

  // Who there is

  async #refresh() {
    try {
      this.#show(await this.#doors.list());
    } catch (/** @type {any} */ error) {
      this.#server.tell(error.message, true);
    }
  }

  /** @param {Voice} made */
  #add(made) {
    this.#show([...this.#voices, made], made.id);
  }

  #ask() {
    const { name } = this.#chosen;
    this.#farewell.querySelector('strong').textContent = name;
    this.#farewell.returnValue = '';
    this.#farewell.showModal();
  }

  async #delete() {
    const { id, name } = this.#chosen;
    try {
      await this.#doors.remove(id);
      this.#show(this.#voices.filter((voice) => voice.id !== id));
      this.#server.tell(`The voice “${name}” is deleted.`);
      this.#select.focus();
    } catch (/** @type {any} */ error) {
      this.#server.tell(error.message, true);
      await this.#refresh();
    }
  }

  // What is seen

  /** Undefined before there is any. @returns {any} */
  get #chosen() {
    return this.#voices.find(({ id }) => id === this.#select.value);
  }

  /** @param {Voice[]} voices @param {string} [wanted] what was chosen stays so where it is still there */
  #show(voices, wanted = this.voice) {
    const before = this.voice;
    this.#voices = voices;
    const made = voices.filter(({ kind }) => kind === 'cloned');
    const own = voices.filter(({ kind }) => kind !== 'cloned').map(option);
    this.#select.replaceChildren(...(made.length ? [group('Yours', made.map(option)), group('Built in', own)] : own));
    const known = [wanted, this.#usual, voices[0]?.id].find((id) => voices.some((voice) => voice.id === id));
    if (known !== undefined) this.#select.value = known;
    this.#showChoice();
    if (this.voice !== before) this.#root.dispatchEvent(new Event('change', { bubbles: true }));
  }

  #showChoice() {
    const usable = this.#open && this.#voices.length > 0;
    this.#select.disabled = this.#preview.disabled = !usable;
    this.#remove.disabled = !usable || this.#chosen?.kind !== 'cloned';
  }

  /** @param {boolean} previewing */
  #showPreview(previewing) {
    this.#previewing = previewing;
    this.#preview.classList.toggle('speaking', previewing);
    this.#preview.setAttribute('aria-label', previewing ? 'Stop the voice' : 'Hear this voice');
  }
}

/** @param {string} name @returns {Voice} */
function builtIn(name) {
  return { id: name, name, kind: 'built_in' };
}

/** @param {Voice} voice */
function option({ id, name }) {
  return new Option(name, id);
}

/** @param {string} label @param {HTMLOptionElement[]} options */
function group(label, options) {
  const element = Object.assign(document.createElement('optgroup'), { label });
  element.append(...options);
  return element;
}
