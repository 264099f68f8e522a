/** The header: model, version and how many voices are speaking now; and what to expect of the demo voice. */

const POLL_MS = 2000;
const DEMO_MODEL = 'embedded';
const DEMO_NOTE = 'This is the small demo voice that comes with Sayline: plain, but it runs anywhere. For natural voices:';
const REAL_VOICES = 'sayline serve --variant english';

export class ServerFacts {
  #line = /** @type {HTMLElement} */ (document.getElementById('server'));
  #note = /** @type {HTMLElement} */ (document.getElementById('model-note'));
  #load = document.createElement('span');
  #timer = 0;

  /** Show the facts of a new session, and the load from now on. @param {{model: string, server: string}} ready */
  show({ model, server }) {
    this.#line.replaceChildren(factsText(model, server), this.#load);
    const command = Object.assign(document.createElement('code'), { textContent: REAL_VOICES });
    this.#note.replaceChildren(...(model === DEMO_MODEL ? [`${DEMO_NOTE} `, command] : []));
    this.watch();
  }

  /** Show the load from now on. */
  watch() {
    this.stop();
    this.#timer = setInterval(() => document.hidden || this.#update(), POLL_MS);
    this.#update();
  }

  /** There is no connection: the load is unknown. */
  stop() {
    clearInterval(this.#timer);
    this.#load.textContent = '';
  }

  async #update() {
    const response = await fetch('/healthz', { cache: 'no-store' }).catch(() => null);
    const load = loadText(response?.ok ? await response.json().catch(() => ({})) : {});
    this.#load.textContent = load && ` · ${load}`;
  }
}

/** @param {string} model @param {string} server name and version, such as `sayline/0.1.0` */
export function factsText(model, server) {
  return `Model ${model} · version ${server.split('/').pop()}`;
}

/**
 * The capacity of a machine that became slower may be less than what it carries already.
 * @param {{speaking?: number, capacity?: number}} health the answer of `/healthz`
 */
export function loadText({ speaking = 0, capacity }) {
  return capacity === undefined ? '' : `${speaking} of ${Math.max(speaking, capacity)} speaking`;
}
