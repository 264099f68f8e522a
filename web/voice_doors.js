/** The server's `/v1/voices`: asked for over HTTP, refused in words. Knows no page. */

import { failed } from './telling.js';

/** @typedef {{id: string, name: string, kind: 'built_in' | 'cloned'}} Voice */
/** @typedef {Voice & {duration_s: number, advice: {code: string, message: string}[]}} Made */

export const ABORTED = 'aborted'; // by who sends
const PATH = '/v1/voices';
const GONE = 'The server does not answer. Is it still running? Try again when it is.';
const BROKEN_OFF = 'The connection broke while the recording was sent. Try again, with a shorter one if it is large.';
const KEY_WANTED = 'The server asks for an API key that it knows. Connect with one, then try again.';

/** The message is a whole sentence for the person at the page. */
export class VoiceRefused extends Error {
  name = 'VoiceRefused';

  /** @param {string} message @param {string} code as the server says it; '' where it said nothing */
  constructor(message, code = '') {
    super(message);
    this.code = code;
  }
}

export class VoiceDoors {
  #headers;

  /** @param {() => Record<string, string>} headers with the key, where there is one */
  constructor(headers) {
    this.#headers = headers;
  }

  /** All that may be spoken with here. @returns {Promise<Voice[]>} @throws {VoiceRefused} */
  async list() {
    return (await this.#ask('GET', '')).voices;
  }

  /** @param {string} id @throws {VoiceRefused} */
  async remove(id) {
    await this.#ask('DELETE', `/${encodeURIComponent(id)}`);
  }

  /**
   * `onSent` is told which share of it is on its way; the server still works when all is.
   * @param {{file: File, name: string, consent: boolean}} wish
   * @param {(share: number) => void} onSent
   * @param {AbortSignal} signal
   * @returns {Promise<Made>}
   * @throws {VoiceRefused}
   */
  make({ file, name, consent }, onSent, signal) {
    const form = new FormData();
    form.append('name', name);
    form.append('consent', String(consent));
    form.append('file', file, file.name);
    const request = new XMLHttpRequest(); // `fetch` does not tell how far it is
    request.open('POST', PATH);
    Object.entries(this.#headers()).forEach(([header, value]) => request.setRequestHeader(header, value));
    return new Promise((fulfil, reject) => {
      request.upload.onprogress = ({ loaded, total }) => onSent(loaded / total);
      request.onload = () => {
        if (request.status === 201) fulfil(JSON.parse(request.responseText));
        else reject(refusal(request.status, request.responseText, request.getResponseHeader('Retry-After')));
      };
      request.onerror = () => reject(new VoiceRefused(BROKEN_OFF));
      request.onabort = () => reject(new VoiceRefused('Nothing was sent.', ABORTED));
      signal.addEventListener('abort', () => request.abort());
      request.send(form);
    });
  }

  /** @param {string} method @param {string} path */
  async #ask(method, path) {
    const answer = await fetch(PATH + path, { method, headers: this.#headers() }).catch(() => {
      throw new VoiceRefused(GONE);
    });
    const body = await answer.text();
    if (!answer.ok) throw refusal(answer.status, body, answer.headers.get('Retry-After'));
    return body ? JSON.parse(body) : null;
  }
}

/** @param {number} status @param {string} body @param {string | null} afterS */
function refusal(status, body, afterS) {
  const { code, message } = told(body) ?? { code: '', message: `The server failed (${status}). Its log tells why` };
  if (status === 401) return new VoiceRefused(KEY_WANTED, code);
  return new VoiceRefused(failed({ message, retryAfterMs: Number(afterS) * 1000 }), code);
}

/** @param {string} body */
function told(body) {
  try {
    return JSON.parse(body).error;
  } catch {
    return null;
  }
}
