/** The page's connection to its server: opens it, watches it, and explains why it cannot be opened. */

import { connect } from '../clients/js/sayline.js';
import { errorText } from './status_text.js';

const KEY_NAME = 'sayline-api-key';
const NOTICE_MS = 3000;
const UNREACHABLE = 'The server cannot be reached. Check that “sayline serve” is running, then press Speak.';
const FULL = 'The server is full: it takes no more sessions now.';
const NO_WEBSOCKET = 'The server answers, but no WebSocket to it opens. Check that no proxy blocks it, then press Speak.';

/**
 * There is no connection. The message can be shown. `needsKey`: the right API key would help; `retryAfterMs`: waiting
 * would.
 */
export class ConnectError extends Error {
  /** @param {string} message @param {{needsKey?: boolean, retryAfterMs?: number}} [remedy] */
  constructor(message, { needsKey = false, retryAfterMs } = {}) {
    super(message);
    this.needsKey = needsKey;
    this.retryAfterMs = retryAfterMs;
  }
}

export class ServerConnection {
  /** @type {import('../clients/js/session.js').Session | null} */
  session = null;
  /** Set while the client reconnects, and for a moment after it has. @type {'lost' | 'back' | null} */
  notice = null;
  onNotice = () => {};
  /** Called when the session has ended for good. */
  onClosed = (/** @type {string} */ _reason) => {};

  get apiKey() {
    return sessionStorage.getItem(KEY_NAME) ?? undefined;
  }

  set apiKey(key) {
    if (key) sessionStorage.setItem(KEY_NAME, key);
    else sessionStorage.removeItem(KEY_NAME);
  }

  /** @returns {Record<string, string>} headers for HTTP requests */
  headers() {
    return this.apiKey ? { Authorization: `Bearer ${this.apiKey}` } : {};
  }

  /** Throws `ConnectError`. */
  async open() {
    try {
      const apiKey = this.apiKey === undefined ? undefined : () => this.#token();
      this.session = await connect(location.origin, { apiKey });
    } catch (error) {
      throw await this.#explain(error);
    }
    this.session.onConnection = (state) => {
      this.#notify(state);
      if (state === 'back') setTimeout(() => this.notice === 'back' && this.#notify(null), NOTICE_MS);
    };
    this.#watch(this.session);
    return this.session.ready;
  }

  /** A token made with the API key, or what was entered itself, which may be a token already. */
  async #token() {
    const headers = { ...this.headers(), 'Content-Type': 'application/json' };
    const body = JSON.stringify({ origin: location.origin });
    const made = await fetch('/v1/tokens', { method: 'POST', headers, body }).catch(() => null);
    return made?.ok ? (await made.json()).token : this.apiKey;
  }

  /** @param {import('../clients/js/session.js').Session} session */
  async #watch(session) {
    const loss = await session.closed;
    this.session = null;
    this.notice = null;
    this.onClosed(errorText(loss));
  }

  /** @param {'lost' | 'back' | null} notice */
  #notify(notice) {
    this.notice = notice;
    this.onNotice();
  }

  /** Find out why over HTTP: browsers do not tell a page why a WebSocket was refused. */
  async #explain(error) {
    const [isAlive, status] = await Promise.all([
      fetch('/healthz').then(({ ok }) => ok, () => false),
      fetch('/v1/voices', { headers: this.headers() }).then((response) => response.status, () => 0),
    ]);
    if (!isAlive) return new ConnectError(UNREACHABLE);
    if (status === 401) {
      const wasRejected = this.apiKey !== undefined;
      this.apiKey = undefined;
      const missing = 'This server requires an API key. Enter it above, then connect.';
      const message = wasRejected ? 'The server rejected this API key. Enter another one.' : missing;
      return new ConnectError(message, { needsKey: true });
    }
    if (error.isServerRefusal) {
      const { retryAfterMs } = error;
      return new ConnectError(retryAfterMs ? FULL : `${FULL} Press Speak to try again.`, { retryAfterMs });
    }
    return new ConnectError(NO_WEBSOCKET);
  }
}
