/**
 * A Sayline server that speaks by a script: a real socket, and two bytes per word instead of a voice.
 *
 * Words with a meaning of their own: `explode` (the context fails), `refuse` (a message is refused, the context goes
 * on), `hangup` (the socket is cut), `vanish` (so it is, and the text is not taken, the first time), `damage` (a frame
 * that is not a message), `later` (a type of a later server).
 */

import { createServer } from 'node:http';
import { WebSocketPeer } from './websocket_peer.js';

export const READY = {
  type: 'ready', protocol: 'sayline.v1', server: 'scripted/1', model: 'words', voices: ['clara', 'angus'],
  default_voice: 'clara', sample_rate_hz: 24000, frame_ms: 80, opus_pre_skip: 156, session_id: 'session-1',
  token: 'token-1', resume_s: 30,
};
const FRAME_MS = 80;

export class ScriptedServer {
  /** @type {any[]} */ received = [];
  /** @type {string[]} */ offered = [];
  /** Set to close new sessions with this code and reason instead of a greeting. @type {[number, string] | null} */
  closeWith = null;
  apiKey = '';
  /** In which every context waits before it speaks. @type {number[]} */
  places = [];
  resumeS = 30;
  /** What is said instead of `ready`. */
  greeting = null;
  /** Who wants to resume gets these first, instead of what is so. @type {any[]} */
  resumeAnswers = [];
  /** Called when somebody wants to resume. */
  onResume = () => {};
  /** Sessions whose socket is lost. */
  forgets = false;
  connections = 0;

  #server = createServer((_, response) => response.writeHead(404).end());
  /** @type {Set<import('node:stream').Duplex>} */
  #sockets = new Set();
  /** @type {Map<string, Session>} by token */
  #sessions = new Map();

  async start() {
    this.#server.on('upgrade', (request, socket) => this.#upgrade(request, socket));
    await new Promise((listening) => this.#server.listen(0, '127.0.0.1', () => listening(undefined)));
    this.url = `ws://127.0.0.1:${/** @type {any} */ (this.#server.address()).port}`;
    return this;
  }

  stop() {
    this.hangUp();
    this.#server.close();
  }

  /** To everybody, as it is. */
  tell(message) {
    for (const { peer } of this.#sessions.values()) peer.sendText(JSON.stringify(message));
  }

  /** In an orderly way. */
  close(code, reason) {
    for (const { peer } of this.#sessions.values()) peer.close(code, reason);
  }

  hangUp() {
    for (const socket of this.#sockets) socket.destroy();
  }

  #upgrade(request, socket) {
    this.offered = (request.headers['sec-websocket-protocol'] ?? '').split(/, */);
    if (this.apiKey && !this.offered.includes(`sayline.key.${this.apiKey}`)) {
      socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
      return;
    }
    this.#sockets.add(socket);
    const number = ++this.connections;
    let session;
    const peer = new WebSocketPeer(socket, (text) => {
      const message = JSON.parse(text);
      this.received.push(message);
      if (message.type === 'resume') session = this.#resume(message, session, peer);
      else if (number === 1 && message.text?.includes('vanish')) peer.cut();
      else session.obey(message);
    });
    session = new Session(number, peer, this.places);
    peer.greet(request);
    this.#sessions.set(session.token, session);
    if (this.closeWith) peer.close(...this.closeWith);
    else if (this.greeting) session.say(this.greeting);
    else session.say({ ...READY, session_id: session.id, token: session.token, resume_s: this.resumeS });
  }

  #resume({ token, contexts: lastSeqs }, own, peer) {
    this.onResume();
    if (this.resumeAnswers.length) {
      own.say(this.resumeAnswers.shift());
      return own;
    }
    const former = this.forgets ? undefined : this.#sessions.get(token);
    if (!former) {
      own.say({ type: 'resumed', recovered: false, session_id: own.id, contexts: {}, message: 'start its contexts anew' });
      return own;
    }
    former.peer = peer;
    const named = Object.keys(lastSeqs).map((id) => [id, former.contexts.get(id)]);
    const taken = Object.fromEntries(named.map(([id, context]) => [id, context?.taken ?? 0]));
    former.say({ type: 'resumed', recovered: true, session_id: former.id, contexts: taken, message: 'the session goes on' });
    for (const [id, context] of named) context?.said.slice(lastSeqs[id] + 1).forEach((event) => former.say(event));
    return former;
  }
}

/** What goes on when its socket is lost. */
class Session {
  /** @type {Map<string, any>} */
  contexts = new Map();

  constructor(number, peer, places) {
    this.id = `session-${number}`;
    this.token = `token-${number}`;
    this.peer = peer;
    this.places = places;
  }

  say(event) {
    if (event.type !== 'audio') this.peer.sendText(JSON.stringify(event));
    else this.peer.sendBinary(audioFrame(event));
  }

  obey({ type, context_id, voice, wait, text, id, played_ms = Infinity }) {
    if (type === 'start') return this.#start(context_id, voice, wait);
    const context = this.contexts.get(context_id);
    if (!context || context.over) return undefined;
    if (type !== 'ack') context.taken++;
    if (type === 'text') context.text += text;
    if (type === 'flush' || type === 'end' || context.text.endsWith('. ')) this.#speak(context);
    if (context.over) return undefined;
    if (type === 'flush') this.#tell(context, { type: 'flushed', at_ms: context.words.length * FRAME_MS, id });
    if (type === 'end') this.#end(context, { type: 'done' });
    if (type === 'cancel') this.#end(context, { type: 'cancelled', ...this.#heard(context, played_ms) });
    return undefined;
  }

  #start(context_id, voice, wait) {
    const refused = (code, message, more = {}) => this.say({ type: 'error', code, message, final: true, context_id, ...more });
    if (wait === false && this.places.length) return refused('full', 'full', { retry_after_ms: 1500 });
    if (voice === 'nobody') return refused('unknown_voice', 'there are: clara, angus');
    const context = { context_id, text: '', read: 0, words: [], said: [], taken: 1, over: false };
    this.contexts.set(context_id, context);
    for (const place of this.places) this.#tell(context, { type: 'queued', place });
    return undefined;
  }

  #tell(context, event) {
    const numbered = { ...event, context_id: context.context_id, seq: context.said.length };
    context.said.push(numbered);
    this.say(numbered);
  }

  #end(context, last) {
    context.over = true;
    this.#tell(context, { ...last, duration_ms: context.words.length * FRAME_MS });
  }

  #speak(context) {
    const first = context.words.length;
    const words = [...context.text.slice(context.read).matchAll(/\S+/g)];
    const start = context.read + (words[0]?.index ?? 0);
    for (const { 0: text, index } of words) {
      this.#speakWord(context, text, context.read + index);
      if (context.over) return;
    }
    context.read = context.text.length;
    if (!words.length) return;
    const text = context.text.slice(start).trim();
    const place = { text, start_char: codePoints(context.text.slice(0, start)), end_char: codePoints(context.text.trimEnd()) };
    this.#tell(context, { type: 'segment', ...place, start_ms: first * FRAME_MS, end_ms: context.words.length * FRAME_MS });
  }

  #speakWord(context, text, at) {
    if (text === 'explode') this.#end(context, { type: 'error', code: 'internal', message: 'internal', final: true });
    else if (text === 'refuse') this.#tell(context, { type: 'error', code: 'text_limit', message: 'too much', final: false });
    else if (text === 'hangup') this.peer.cut();
    else if (text === 'damage') this.peer.sendBinary(Buffer.from([1, 2]));
    else if (text === 'later') this.#tell(context, { type: 'viseme', shape: 'o' });
    else {
      const number = context.words.length;
      const start_char = codePoints(context.text.slice(0, at));
      const end_char = start_char + codePoints(text);
      const times = { start_ms: number * FRAME_MS, end_ms: (number + 1) * FRAME_MS };
      const estimated = text !== 'exact';
      context.words.push(end_char);
      this.#tell(context, { type: 'word', text, start_char, end_char, spoken: text, ...times, estimated });
      this.#tell(context, { type: 'audio', start_sample: number * 1920, data: [number, 0x80] }); // one sample, number - 32768
      if (!estimated) this.#tell(context, { type: 'word_end', start_char, end_char, ...times, end_ms: times.end_ms - 30 });
    }
  }

  #heard({ text, words }, playedMs) {
    const chars = words.findLast((_, n) => (n + 0.5) * FRAME_MS <= playedMs) ?? 0;
    const all = [...text];
    const texts = { heard_text: all.slice(0, chars).join(''), unheard_text: all.slice(chars).join('') };
    return { heard_chars: chars, ...texts, generated_ms: words.length * FRAME_MS };
  }
}

/** Which the protocol counts. */
function codePoints(text) {
  return [...text].length;
}

function audioFrame({ context_id, seq, start_sample, data }) {
  const name = Buffer.from(context_id);
  const header = Buffer.alloc(16);
  header.writeUInt8(1, 0);
  header.writeUInt8(name.length, 1);
  header.writeUInt32BE(seq, 4);
  header.writeBigUInt64BE(BigInt(start_sample), 8);
  return Buffer.concat([header, name, Buffer.from(data)]);
}
