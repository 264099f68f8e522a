/**
 * A scripted Sayline server on a real socket; a word is two bytes of audio.
 *
 * Special words: `explode` (the context fails), `refuse` (a message is refused, the context goes on), `hangup` (the
 * socket is cut), `vanish` (the socket is cut and the text is lost, the first time), `damage` (an invalid frame), `later`
 * (a message type of a later server).
 */

import { createServer } from 'node:http';
import { WebSocketPeer } from './websocket_peer.js';

export const READY = {
  type: 'ready', protocol: 'sayline.v1', server: 'scripted/1', model: 'words', voices: ['clara', 'angus'],
  default_voice: 'clara', sample_rate_hz: 24000, frame_ms: 80, opus_pre_skip: 156, session_id: 'session-1',
  token: 'token-1', resume_s: 30,
};
const FRAME_MS = 80;
const NO_PROGRESS = { seq: 0, start_sample: 0, start_char: 0 };

export class ScriptedServer {
  /** @type {any[]} */ received = [];
  /** @type {string[]} */ offered = [];
  /** Set to close new sessions with this code and reason instead of a greeting. @type {[number, string] | null} */
  closeWith = null;
  apiKey = '';
  /** The queue positions of every context before it speaks. @type {number[]} */
  places = [];
  resumeS = 30;
  /** Sent instead of `ready`. */
  greeting = null;
  /** Sent in answer to resumptions, before the regular answer. @type {any[]} */
  resumeAnswers = [];
  /** Called on each resumption. */
  onResume = () => {};
  /** Whether sessions are forgotten when their socket is lost. */
  forgetsSessions = false;
  /** Whether it goes on with contexts of sessions that it does not know. */
  canContinue = false;
  /** Of `ready`, other than usual. */
  readyFields = {};
  connections = 0;
  /** Of the handshakes. @type {string[]} */
  paths = [];

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
    this.cutConnections();
    this.#server.close();
  }

  /** Send a message to all sessions as it is. */
  send(message) {
    for (const { peer } of this.#sessions.values()) peer.sendText(JSON.stringify(message));
  }

  /** Close all sessions with a close code. */
  close(code, reason) {
    for (const { peer } of this.#sessions.values()) peer.close(code, reason);
  }

  cutConnections() {
    for (const socket of this.#sockets) socket.destroy();
  }

  #upgrade(request, socket) {
    this.offered = (request.headers['sec-websocket-protocol'] ?? '').split(/, */);
    if (this.apiKey && !this.offered.includes(`sayline.key.${this.apiKey}`)) {
      socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
      return;
    }
    this.paths.push(request.url);
    this.#sockets.add(socket);
    const number = ++this.connections;
    let session;
    const peer = new WebSocketPeer(socket, (text) => {
      const message = JSON.parse(text);
      this.received.push(message);
      if (message.type === 'resume') session = this.#resume(message, session, peer);
      else if (number === 1 && message.text?.includes('vanish')) peer.cut();
      else session.handle(message);
    });
    session = new Session(number, peer, this.places);
    peer.greet(request);
    this.#sessions.set(session.token, session);
    if (this.closeWith) peer.close(...this.closeWith);
    else if (this.greeting) session.send(this.greeting);
    else session.send({ ...READY, session_id: session.id, token: session.token, resume_s: this.resumeS, ...this.readyFields });
  }

  #resume({ token, contexts: lastSeqs }, current, peer) {
    this.onResume();
    if (this.resumeAnswers.length) {
      current.send(this.resumeAnswers.shift());
      return current;
    }
    const previous = this.forgetsSessions ? undefined : this.#sessions.get(token);
    if (!previous) {
      current.send({ type: 'resumed', recovered: false, session_id: current.id, contexts: {}, message: 'start its contexts anew', can_continue: this.canContinue });
      return current;
    }
    previous.peer = peer;
    const named = Object.keys(lastSeqs).map((id) => [id, previous.contexts.get(id)]);
    const counts = Object.fromEntries(named.map(([id, context]) => [id, context?.received ?? 0]));
    previous.send({ type: 'resumed', recovered: true, session_id: previous.id, contexts: counts, message: 'the session goes on' });
    for (const [id, context] of named) context?.events.filter(({ seq }) => seq > lastSeqs[id]).forEach((event) => previous.send(event));
    return previous;
  }
}

/** A session, which survives the loss of its socket. */
class Session {
  /** @type {Map<string, any>} */
  contexts = new Map();

  constructor(number, peer, places) {
    this.id = `session-${number}`;
    this.token = `token-${number}`;
    this.peer = peer;
    this.places = places;
  }

  send(event) {
    if (event.type !== 'audio') this.peer.sendText(JSON.stringify(event));
    else this.peer.sendBinary(audioFrame(event));
  }

  handle({ type, context_id, voice, wait, text, id, progress = NO_PROGRESS, played_ms = Infinity }) {
    if (type === 'start') return this.#start(context_id, voice, wait, progress);
    const context = this.contexts.get(context_id);
    if (!context || context.over) return undefined;
    if (type !== 'ack') context.received++;
    if (type === 'text') context.text += text;
    if (type === 'flush' || type === 'end' || context.text.endsWith('. ')) this.#speak(context);
    if (context.over) return undefined;
    if (type === 'flush') this.#send(context, { type: 'flushed', at_ms: context.words.length * FRAME_MS, id });
    if (type === 'end') this.#end(context, { type: 'done' });
    if (type === 'cancel') this.#end(context, { type: 'cancelled', ...this.#splitHeard(context, played_ms) });
    return undefined;
  }

  #start(context_id, voice, wait, progress) {
    const refused = (code, message, fields = {}) => this.send({ type: 'error', code, message, final: true, context_id, ...fields });
    if (wait === false && this.places.length) return refused('full', 'full', { retry_after_ms: 1500 });
    if (voice === 'nobody') return refused('unknown_voice', 'there are: clara, angus');
    const firstFrame = progress.start_sample / 1920;
    const context = { context_id, progress, firstFrame, text: '', read: 0, words: [], events: [], received: 1, over: false };
    this.contexts.set(context_id, context);
    for (const place of this.places) this.#send(context, { type: 'queued', place });
    return undefined;
  }

  #send(context, event) {
    const numbered = { ...event, context_id: context.context_id, seq: context.progress.seq + context.events.length };
    context.events.push(numbered);
    this.send(numbered);
  }

  #end(context, last) {
    context.over = true;
    this.#send(context, { ...last, duration_ms: (context.firstFrame + context.words.length) * FRAME_MS });
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
    const { firstFrame, progress: { start_char } } = context;
    const [startChar, endChar] = [context.text.slice(0, start), context.text.trimEnd()].map((part) => start_char + codePoints(part));
    const times = { start_ms: (firstFrame + first) * FRAME_MS, end_ms: (firstFrame + context.words.length) * FRAME_MS };
    this.#send(context, { type: 'segment', text, start_char: startChar, end_char: endChar, ...times });
  }

  #speakWord(context, text, at) {
    if (text === 'explode') this.#end(context, { type: 'error', code: 'internal', message: 'internal', final: true });
    else if (text === 'refuse') this.#send(context, { type: 'error', code: 'text_limit', message: 'too much', final: false });
    else if (text === 'hangup') this.peer.cut();
    else if (text === 'damage') this.peer.sendBinary(Buffer.from([1, 2]));
    else if (text === 'later') this.#send(context, { type: 'viseme', shape: 'o' });
    else {
      const number = context.firstFrame + context.words.length;
      const start_char = context.progress.start_char + codePoints(context.text.slice(0, at));
      const end_char = start_char + codePoints(text);
      const times = { start_ms: number * FRAME_MS, end_ms: (number + 1) * FRAME_MS };
      const estimated = text !== 'exact';
      context.words.push(end_char);
      this.#send(context, { type: 'word', text, start_char, end_char, spoken: text, ...times, estimated });
      this.#send(context, { type: 'audio', start_sample: number * 1920, data: [number, 0x80] }); // one sample, number - 32768
      if (!estimated) this.#send(context, { type: 'word_end', start_char, end_char, ...times, end_ms: times.end_ms - 30 });
    }
  }

  #splitHeard({ text, words, firstFrame, progress: { start_char } }, playedMs) {
    const chars = words.findLast((_, n) => (firstFrame + n + 0.5) * FRAME_MS <= playedMs) ?? start_char;
    const all = [...text];
    const texts = { heard_text: all.slice(0, chars - start_char).join(''), unheard_text: all.slice(chars - start_char).join('') };
    return { heard_chars: chars, ...texts, generated_ms: (firstFrame + words.length) * FRAME_MS };
  }
}

/** The length in code points, as the protocol counts. */
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
