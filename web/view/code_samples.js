/** The page's current request as a program in several languages. An API key is never written into it. */

/**
 * A text with the settings to speak it with. `url` is the page's own, without a slash at the end.
 * @typedef {{url: string, text: string, voice?: string, needsKey: boolean,
 *   options: {speed?: number, temperature?: number, decodeSteps?: number, seed?: number}}} SpeechDescription
 */

const PYTHON_NAMES = { decodeSteps: 'decode_steps' };

/** @param {SpeechDescription} request */
export function python({ url, text, voice, options, needsKey }) {
  const key = needsKey ? ', api_key=os.environ["SAYLINE_API_KEY"]' : '';
  const named = ([name, value]) => `${PYTHON_NAMES[name] ?? name}=${JSON.stringify(value)}`;
  const keywords = defined({ voice, ...options }).map(named);
  return `# from a checkout: pip install ./clients/python
${needsKey ? 'import os\n\n' : ''}import sayline.sync

with sayline.sync.connect(${JSON.stringify(webSocketUrl(url))}${key}) as server:
    with server.context(${[...keywords, 'format="pcm"'].join(', ')}) as speech:
        speech.save("speech.wav", ${JSON.stringify(text)})
`;
}

/** OpenAI's SDK knows the speed only. @param {SpeechDescription} request */
export function openai({ url, text, voice, options: { speed }, needsKey }) {
  const key = needsKey ? 'os.environ["SAYLINE_API_KEY"]' : '"none"';
  const fields = defined({ model: 'tts-1', voice: voice ?? 'alloy', input: text, response_format: 'wav', speed });
  return `# pip install openai
${needsKey ? 'import os\n\n' : ''}from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${url}/v1`)}, api_key=${key})
with client.audio.speech.with_streaming_response.create(
${fields.map(([name, value]) => `    ${name}=${JSON.stringify(value)},\n`).join('')}) as speech:
    speech.stream_to_file("speech.wav")
`;
}

/** @param {SpeechDescription} request */
export function javascript({ url, text, voice, options, needsKey }) {
  const key = needsKey ? ', { apiKey: process.env.SAYLINE_API_KEY }' : '';
  const fields = defined({ voice, ...options }).map(([name, value]) => `${name}: ${quoted(value)}`);
  return `// from a checkout: npm install ./clients/js
import { connect } from '@sayline/client';

const server = await connect(${quoted(webSocketUrl(url))}${key});
const speech = server.context({ ${[...fields, "format: 'pcm'"].join(', ')} });
for await (const frame of speech.say(${quoted(text)})) {
  console.log(frame.start_ms, frame.pcm.length);
}
server.close();
`;
}

/** @param {SpeechDescription} request */
export function curl({ url, needsKey, ...request }) {
  const key = needsKey ? `\\\n  -H "Authorization: Bearer $SAYLINE_API_KEY" ` : '';
  const json = JSON.stringify(requestBody(request, 'wav'));
  return `curl ${url}/stream ${key}\\
  -H 'Content-Type: application/json' \\
  -d '${json.replaceAll("'", "'\\''")}' \\
  -o speech.wav
`;
}

/**
 * The body of a request to the server's HTTP API.
 * @param {{text: string, voice?: string, options: SpeechDescription['options']}} request
 * @param {string} format
 */
export function requestBody({ text, voice, options: { decodeSteps, ...options } }, format) {
  return { text, voice, format, ...options, decode_steps: decodeSteps };
}

function defined(fields) {
  return Object.entries(fields).filter(([, value]) => value !== undefined);
}

function quoted(value) {
  if (typeof value !== 'string') return String(value);
  return `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

function webSocketUrl(url) {
  return url.replace(/^http/, 'ws');
}

const GENERATORS = { python, javascript, curl, openai };

/** The panel that shows the program and copies it to the clipboard. */
export class CodeSamples {
  #request;
  #code = /** @type {HTMLElement} */ (document.getElementById('code'));
  #buttons = [...document.querySelectorAll('#languages button')].map((each) => /** @type {HTMLButtonElement} */ (each));
  /** @type {keyof typeof GENERATORS} */
  #language = 'python';
  #note = /** @type {HTMLElement} */ (document.getElementById('copied'));

  /** @param {() => SpeechDescription} request */
  constructor(request) {
    this.#request = request;
    for (const button of this.#buttons) {
      button.addEventListener('click', () => {
        this.#language = /** @type {any} */ (button.dataset.language);
        this.#note.textContent = '';
        this.update();
      });
    }
    document.getElementById('copy-code')?.addEventListener('click', () => this.#copy());
  }

  /** Regenerate the program from the page's current settings. */
  update() {
    this.#code.textContent = GENERATORS[this.#language](this.#request());
    for (const button of this.#buttons) {
      button.setAttribute('aria-pressed', String(button.dataset.language === this.#language));
    }
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#code.textContent ?? '');
      this.#note.textContent = 'Copied.';
    } catch {
      this.#note.textContent = 'The browser blocked the clipboard: select the code and copy it.';
    }
  }
}
