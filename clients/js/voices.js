/** The voices of a server: list, clone, download and delete them over HTTP. */

import { Refused, VoiceFailed } from './errors.js';

const PATH = '/v1/voices';

/**
 * What `context({ voice })` takes is `id` or `name`. `advice`: how a better recording would improve a voice that was
 * cloned now.
 * @typedef {{id: string, name: string, kind: 'built_in' | 'cloned', description?: string, created?: string,
 *   duration_s?: number, advice?: {code: string, message: string}[]}} Voice
 */

/** `session.voices`. Every method throws `Refused` if there is no answer, and `VoiceFailed` if it is an error. */
export class Voices {
  #root;
  #key;

  /** @param {string} address of the stream @param {() => Promise<string | undefined>} key */
  constructor(address, key) {
    const root = new URL(PATH, address);
    root.protocol = root.protocol.replace('ws', 'http');
    this.#root = root.href;
    this.#key = key;
  }

  /** The model's own voices, then those that this key has cloned. @returns {Promise<Voice[]>} */
  async list() {
    return (await (await this.#ask('GET', '')).json()).voices;
  }

  /**
   * Clone a voice from a recording: 5 to 30 s of clear speech in any common format. `consent`: the speaker agrees to
   * this clone; without it nothing is sent. `name`: by default the id.
   * @param {Blob} recording
   * @param {{name?: string, consent: boolean}} options
   * @returns {Promise<Voice>}
   */
  async clone(recording, { name, consent }) {
    if (!consent) throw new VoiceFailed('consent', "a voice is cloned only with its speaker's consent: pass consent: true");
    const form = new FormData();
    form.set('consent', 'true');
    if (name !== undefined) form.set('name', name);
    form.set('file', recording, 'recording');
    return (await this.#ask('POST', '', form)).json();
  }

  /** The file of a cloned voice, which `clone` takes. @param {string} voice @returns {Promise<Blob>} */
  async download(voice) {
    return (await this.#ask('GET', `/${encodeURIComponent(voice)}/export`)).blob();
  }

  /** Delete a cloned voice. Speech in progress is not interrupted. @param {string} voice */
  async delete(voice) {
    await this.#ask('DELETE', `/${encodeURIComponent(voice)}`);
  }

  /** @param {string} method @param {string} path @param {FormData} [body] */
  async #ask(method, path, body) {
    const key = await this.#key();
    const headers = key ? { Authorization: `Bearer ${key}` } : undefined;
    let answer;
    try {
      answer = await fetch(this.#root + path, { method, headers, body });
    } catch (error) {
      throw new Refused(`no answer from ${this.#root} (${error}): check the address and the server`);
    }
    if (!answer.ok) throw failure(answer.status, await answer.text());
    return answer;
  }
}

/** @param {number} status @param {string} text */
function failure(status, text) {
  try {
    const { code, message } = JSON.parse(text).error;
    return new VoiceFailed(code, message);
  } catch {
    return new VoiceFailed(`http_${status}`, text.trim().slice(0, 200) || `the server answered ${status}`);
  }
}
