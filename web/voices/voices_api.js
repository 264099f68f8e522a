/** Client of the server's `/v1/voices` API. Errors are sentences that can be shown. */

import { errorText } from '../status_text.js';

/**
 * @typedef {{id: string, name: string, kind: 'built_in' | 'cloned', description?: string, duration_s?: number}} Voice
 */
/** @typedef {Voice & {duration_s: number, advice: {code: string, message: string}[]}} ClonedVoice */

export const ABORTED = 'aborted'; // the code of a cancelled upload
const PATH = '/v1/voices';
const UNREACHABLE = 'The server does not respond. Check that it is running, then try again.';
const UPLOAD_FAILED = 'The connection broke during the upload. Try again, with a shorter recording if it is large.';
const KEY_REJECTED = 'The server rejected the API key. Connect with a valid one, then try again.';

/** A request failed. The message is a whole sentence for the user. */
export class VoicesApiError extends Error {
  name = 'VoicesApiError';

  /** @param {string} message @param {string} code the server's, or '' if there was no response */
  constructor(message, code = '') {
    super(message);
    this.code = code;
  }
}

export class VoicesApi {
  #headers;

  /** @param {() => Record<string, string>} headers with the API key, if there is one */
  constructor(headers) {
    this.#headers = headers;
  }

  /** All voices that the caller may use. @returns {Promise<Voice[]>} @throws {VoicesApiError} */
  async list() {
    return (await this.#request('GET', '')).voices;
  }

  /** @param {string} id @throws {VoicesApiError} */
  async remove(id) {
    await this.#request('DELETE', `/${encodeURIComponent(id)}`);
  }

  /**
   * Upload a recording and have the server clone the voice.
   * @param {{file: File, name: string, consent: boolean}} fields
   * @param {(fraction: number) => void} onProgress of the upload; at 1 the server still has to process it
   * @param {AbortSignal} signal
   * @returns {Promise<ClonedVoice>}
   * @throws {VoicesApiError}
   */
  clone({ file, name, consent }, onProgress, signal) {
    const form = new FormData();
    form.append('name', name);
    form.append('consent', String(consent));
    form.append('file', file, file.name);
    const request = new XMLHttpRequest(); // `fetch` reports no upload progress
    request.open('POST', PATH);
    Object.entries(this.#headers()).forEach(([header, value]) => request.setRequestHeader(header, value));
    return new Promise((fulfil, reject) => {
      request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
      request.onload = () => {
        if (request.status === 201) fulfil(JSON.parse(request.responseText));
        else reject(apiError(request.status, request.responseText, request.getResponseHeader('Retry-After')));
      };
      request.onerror = () => reject(new VoicesApiError(UPLOAD_FAILED));
      request.onabort = () => reject(new VoicesApiError('Upload cancelled.', ABORTED));
      signal.addEventListener('abort', () => request.abort());
      request.send(form);
    });
  }

  /** @param {string} method @param {string} path */
  async #request(method, path) {
    const response = await fetch(PATH + path, { method, headers: this.#headers() }).catch(() => {
      throw new VoicesApiError(UNREACHABLE);
    });
    const body = await response.text();
    if (!response.ok) throw apiError(response.status, body, response.headers.get('Retry-After'));
    return body ? JSON.parse(body) : null;
  }
}

/** @param {number} status @param {string} body @param {string | null} retryAfterS */
function apiError(status, body, retryAfterS) {
  const unknown = { code: '', message: `The server failed with status ${status}. Its log has the details` };
  const { code, message } = parseError(body) ?? unknown;
  if (status === 401) return new VoicesApiError(KEY_REJECTED, code);
  return new VoicesApiError(errorText({ message, retryAfterMs: Number(retryAfterS) * 1000 }), code);
}

/** @param {string} body */
function parseError(body) {
  try {
    return JSON.parse(body).error;
  } catch {
    return null;
  }
}
