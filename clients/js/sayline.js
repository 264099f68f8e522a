/**
 * Speech while the text is still being written: the client of a Sayline server, for browsers and Node.
 *
 *     const server = await connect('ws://127.0.0.1:8000');
 *     for await (const frame of server.context().say(words())) play(frame.pcm);
 *
 * Node before 22 has no built-in WebSocket: start it with --experimental-websocket, or pass `{ WebSocket }`.
 */

import { Connection } from './connection.js';
import { Refused, SaylineError } from './errors.js';
import { Session } from './session.js';
import { Voices } from './voices.js';
import { KEY_SUBPROTOCOL, SUBPROTOCOL } from './wire.js';

export {
  ConnectionLost, ContextFailed, Full, Limited, NotRecovered, ProtocolError, Refused, SaylineError, SlowConsumer,
  UnknownVoice, VoiceFailed,
} from './errors.js';
export { AudioOutput } from './output.js';
export { Stopwatch } from './stopwatch.js';

/**
 * Open a session.
 *
 * `apiKey`: an API key or a token, or a function that returns one for each connection.
 * @param {string} url the address of the server or of its page
 * @param {{apiKey?: string | (() => string | Promise<string>), WebSocket?: typeof globalThis.WebSocket}} [options]
 * @returns {Promise<Session>}
 * @throws {Refused} if no session can be opened
 */
export async function connect(url, { apiKey, WebSocket = globalThis.WebSocket } = {}) {
  if (!WebSocket) throw new SaylineError('no WebSocket here: use Node 22, or 20 with --experimental-websocket');
  const address = streamAddress(url);
  // A token may have expired since the last time.
  const currentKey = async () => (typeof apiKey === 'function' ? await apiKey() : apiKey);
  const session = new Session(url, new Voices(address, currentKey), async (sessionId) => {
    const key = await currentKey();
    const subprotocols = key ? [SUBPROTOCOL, KEY_SUBPROTOCOL + key] : [SUBPROTOCOL];
    const target = new URL(address);
    if (sessionId !== undefined) target.searchParams.set('session', sessionId);
    return new Connection(new WebSocket(target.href, subprotocols), url);
  });
  await session.open();
  return session;
}

/**
 * The WebSocket address for a URL as people write it.
 * @param {string} url
 */
export function streamAddress(url) {
  let address;
  try {
    address = new URL(url);
  } catch {
    address = null;
  }
  if (!address || !/^(ws|http)s?:$/.test(address.protocol)) {
    throw new Refused(`"${url}" is not a server address: use the form ws://127.0.0.1:8000`);
  }
  address.protocol = address.protocol.replace('http', 'ws');
  if (address.pathname === '/') address.pathname = '/v1/stream';
  address.hash = '';
  return address.href;
}
