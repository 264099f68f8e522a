/** The voices section of the page: select, preview, clone and delete voices. */

import { errorText } from '../status_text.js';
import { ClonePanel } from './voice_clone.js';
import { VoicesApi } from './voices_api.js';

/** @typedef {import('./voices_api.js').Voice} Voice */
/**
 * What the page provides.
 * @typedef {object} Server
 * @property {() => Record<string, string>} headers for HTTP requests
 * @property {(voice: string, text: string) => Promise<void>} speak resolves when it has been played or was stopped
 * @property {() => void} stop
 * @property {(message: string, isError?: boolean) => void} showStatus
 */

/** By the first part of a model's name. @type {Record<string, string>} */
const SAMPLE_TEXTS = {
  dutch: 'Hallo, zo klink ik.',
  french: 'Bonjour, voici comment je parle.',
  german: 'Hallo, so klinge ich.',
  italian: 'Ciao, ecco come parlo.',
  portuguese: 'Olá, é assim que eu falo.',
  spanish: 'Hola, así es como hablo.',
};
const ENGLISH = 'Hello, this is how I sound.';

/**
 * @param {{root: HTMLElement, server: Server}} page `root` dispatches `change` when another voice is selected
 */
export function installVoices({ root, server }) {
  return new Voices(root, server);
}

class Voices {
  #root;
  #server;
  #api;
  #select;
  #preview;
  #remove;
  #confirm;
  /** @type {Voice[]} */ #voices = [];
  #defaultVoice = '';
  #sampleText = ENGLISH;
  #isConnected = false;
  #isPreviewing = false;

  /** @param {HTMLElement} root @param {Server} server */
  constructor(root, server) {
    const element = (/** @type {string} */ id) => /** @type {any} */ (root.querySelector(`#${id}`));
    this.#root = root;
    this.#server = server;
    this.#api = new VoicesApi(() => server.headers());
    this.#select = element('voice');
    this.#preview = element('preview');
    this.#remove = element('voice-delete');
    this.#confirm = element('voice-delete-confirm');
    this.#addListeners();
    new ClonePanel(root, this.#api, {
      created: (voice) => this.#show([...this.#voices, voice], voice.id),
      discarded: () => this.#refresh(),
      preview: () => this.#playSample(),
      done: () => this.#select.focus(),
    });
  }

  /** The id of the selected voice; undefined before the voices are known. @returns {string | undefined} */
  get voice() {
    return this.#voices.length ? this.#select.value : undefined;
  }

  /**
   * Show the voices of a new session, and fetch the cloned ones.
   * @param {{model: string, voices: string[], default_voice: string}} ready
   */
  async open({ model, voices, default_voice }) {
    this.#defaultVoice = default_voice;
    this.#sampleText = SAMPLE_TEXTS[model.split('_')[0]] ?? ENGLISH;
    this.#isConnected = true;
    const cloned = this.#voices.filter(({ kind }) => kind === 'cloned');
    this.#show([...voices.map(builtIn), ...cloned]);
    await this.#refresh();
  }

  /** Disable the controls, because the session has ended. */
  close() {
    this.#isConnected = false;
    this.#updateControls();
  }

  #addListeners() {
    this.#select.addEventListener('change', () => {
      if (this.#isPreviewing) this.#server.stop();
      this.#updateControls();
    });
    this.#preview.addEventListener('click', () => (this.#isPreviewing ? this.#server.stop() : this.#playSample()));
    this.#remove.addEventListener('click', () => this.#askToDelete());
    this.#confirm.addEventListener('close', () => this.#confirm.returnValue === 'delete' && this.#delete());
  }

  async #playSample() {
    if (!this.#isConnected) {
      this.#server.showStatus('Connect to the server first, then preview the voice.', true);
      return;
    }
    this.#showPreviewing(true);
    try {
      await this.#server.speak(this.#select.value, this.#sampleText);
    } catch (/** @type {any} */ error) {
      this.#server.showStatus(errorText(error), true);
    }
    this.#showPreviewing(false);
  }

  async #refresh() {
    try {
      this.#show(await this.#api.list());
    } catch (/** @type {any} */ error) {
      this.#server.showStatus(error.message, true);
    }
  }

  #askToDelete() {
    this.#confirm.querySelector('strong').textContent = this.#selected.name;
    this.#confirm.returnValue = '';
    this.#confirm.showModal();
  }

  async #delete() {
    const { id, name } = this.#selected;
    try {
      await this.#api.remove(id);
      this.#show(this.#voices.filter((voice) => voice.id !== id));
      this.#server.showStatus(`The voice “${name}” was deleted.`);
      this.#select.focus();
    } catch (/** @type {any} */ error) {
      this.#server.showStatus(error.message, true);
      await this.#refresh();
    }
  }

  /** Undefined before the voices are known. @returns {any} */
  get #selected() {
    return this.#voices.find(({ id }) => id === this.#select.value);
  }

  /** @param {Voice[]} voices @param {string} [wanted] by default the selected one, if it still exists */
  #show(voices, wanted = this.voice) {
    const before = this.voice;
    this.#voices = voices;
    const cloned = voices.filter(({ kind }) => kind === 'cloned').map(option);
    const builtIns = voices.filter(({ kind }) => kind !== 'cloned').map(option);
    this.#select.replaceChildren(...(cloned.length ? [group('Yours', cloned), group('Built in', builtIns)] : builtIns));
    const candidates = [wanted, this.#defaultVoice, voices[0]?.id];
    const selected = candidates.find((id) => voices.some((voice) => voice.id === id));
    if (selected !== undefined) this.#select.value = selected;
    this.#updateControls();
    if (this.voice !== before) this.#root.dispatchEvent(new Event('change', { bubbles: true }));
  }

  #updateControls() {
    const isUsable = this.#isConnected && this.#voices.length > 0;
    this.#select.disabled = this.#preview.disabled = !isUsable;
    this.#remove.disabled = !isUsable || this.#selected?.kind !== 'cloned';
  }

  /** @param {boolean} isPreviewing */
  #showPreviewing(isPreviewing) {
    this.#isPreviewing = isPreviewing;
    this.#preview.classList.toggle('playing', isPreviewing);
    this.#preview.setAttribute('aria-label', isPreviewing ? 'Stop the preview' : 'Preview this voice');
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
