/** The page's wish as a program that somebody can take along. Knows no page. A key is never written into it. */

/**
 * @typedef {{url: string, text: string, voice?: string, isKeyed: boolean,
 *   wish: {speed?: number, temperature?: number, decodeSteps?: number, seed?: number}}} Order
 * `url`: the page's own, without a slash at its end
 */

const PYTHON_NAMES = { decodeSteps: 'decode_steps' };

/** @param {Order} order */
export function python({ url, text, voice, wish, isKeyed }) {
  const key = isKeyed ? ', api_key=os.environ["SAYLINE_API_KEY"]' : '';
  const named = ([name, value]) => `${PYTHON_NAMES[name] ?? name}=${JSON.stringify(value)}`;
  const options = given({ voice, ...wish }).map(named);
  return `${isKeyed ? 'import os\n' : ''}import wave

import sayline.sync

with (
    sayline.sync.connect(${JSON.stringify(webSocket(url))}${key}) as server,
    server.context(${[...options, 'format="pcm"'].join(', ')}) as speech,
    wave.open("speech.wav", "wb") as file,
):
    file.setparams((1, 2, 24000, 0, "NONE", ""))
    for frame in speech.say(${JSON.stringify(text)}):
        file.writeframes(frame.pcm)
`;
}

/** @param {Order} order */
export function javascript({ url, text, voice, wish, isKeyed }) {
  const key = isKeyed ? ', { apiKey: process.env.SAYLINE_API_KEY }' : '';
  const options = given({ voice, ...wish }).map(([name, value]) => `${name}: ${quoted(value)}`);
  return `import { connect } from '@sayline/client';

const server = await connect(${quoted(webSocket(url))}${key});
const speech = server.context({ ${[...options, "format: 'pcm'"].join(', ')} });
for await (const frame of speech.say(${quoted(text)})) {
  console.log(frame.start_ms, frame.pcm.length);
}
server.close();
`;
}

/** @param {Order} order */
export function curl({ url, isKeyed, ...order }) {
  const key = isKeyed ? `\\\n  -H "Authorization: Bearer $SAYLINE_API_KEY" ` : '';
  const json = JSON.stringify(body(order, 'wav'));
  return `curl ${url}/stream ${key}\\
  -H 'Content-Type: application/json' \\
  -d '${json.replaceAll("'", "'\\''")}' \\
  -o speech.wav
`;
}

/**
 * What the server's HTTP doors are asked for.
 * @param {{text: string, voice?: string, wish: Order['wish']}} order
 * @param {string} format
 */
export function body({ text, voice, wish: { decodeSteps, ...wish } }, format) {
  return { text, voice, format, ...wish, decode_steps: decodeSteps };
}

function given(options) {
  return Object.entries(options).filter(([, value]) => value !== undefined);
}

function quoted(value) {
  if (typeof value !== 'string') return String(value);
  return `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

function webSocket(url) {
  return url.replace(/^http/, 'ws');
}
