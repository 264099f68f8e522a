/** The page's connection to its server: opened, explained where it cannot be, watched. Knows no element of the page. */

import { connect } from '../clients/js/sayline.js';
import { failed } from './telling.js';

const KEY_NAME = 'sayline-api-key';
const NEW_MS = 3000;

/** Why there is no connection, in words; `wantsKey` where the right API key would help. */
export class NoLink extends Error {
  /** @param {string} message @param {boolean} [wantsKey] */
  constructor(message, wantsKey = false) {
    super(message);
    this.wantsKey = wantsKey;
  }
}

export class Link {
  /** @type {import('../clients/js/session.js').Session | null} */
  session = null;
  /** It broke and another is looked for, or that was found a moment ago. @type {'lost' | 'back' | null} */
  news = null;
  onNews = () => {};
  /** It is over for good. */
  onClosed = (/** @type {string} */ _why) => {};

  get apiKey() {
    return sessionStorage.getItem(KEY_NAME) ?? undefined;
  }

  set apiKey(key) {
    if (key) sessionStorage.setItem(KEY_NAME, key);
    else sessionStorage.removeItem(KEY_NAME);
  }

  /** @returns {Record<string, string>} for what is asked over HTTP */
  headers() {
    return this.apiKey ? { Authorization: `Bearer ${this.apiKey}` } : {};
  }

  /** Throws `NoLink`. */
  async open() {
    try {
      this.session = await connect(location.origin, { apiKey: this.apiKey });
    } catch (error) {
      throw await this.#explain(error);
    }
    this.session.onConnection = (state) => {
      this.#tell(state);
      if (state === 'back') setTimeout(() => this.news === 'back' && this.#tell(null), NEW_MS);
    };
    this.#watch(this.session);
    return this.session.ready;
  }

  /** @param {import('../clients/js/session.js').Session} opened */
  async #watch(opened) {
    const loss = await opened.closed;
    this.session = null;
    this.news = null;
    this.onClosed(failed(loss));
  }

  /** @param {'lost' | 'back' | null} news */
  #tell(news) {
    this.news = news;
    this.onNews();
  }

  /** A browser does not tell a page why a WebSocket was refused; the server's other doors tell what they can. */
  async #explain(error) {
    const [isAlive, status] = await Promise.all([
      fetch('/healthz').then(({ ok }) => ok, () => false),
      fetch('/v1/voices', { headers: this.headers() }).then((answer) => answer.status, () => 0),
    ]);
    if (!isAlive) return new NoLink('There is no server here any more. Start it with “sayline serve”.');
    if (status === 401) {
      const wasWrong = this.apiKey !== undefined;
      this.apiKey = undefined;
      const told = 'This server asks for an API key. Write it above, and connect.';
      return new NoLink(wasWrong ? 'The server did not take this API key. Try another.' : told, true);
    }
    return new NoLink(failed(error));
  }
}
