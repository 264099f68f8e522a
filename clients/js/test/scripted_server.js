/**
 * A Sayline server that speaks by a script: a real socket, and two bytes per word instead of a voice.
 *
 * Its half of the WebSocket protocol is as much as these tests need: one frame per message, none of 64 KB or more.
 * Words with a meaning of their own: `explode` (the context fails), `refuse` (a message is refused, the context goes
 * on), `hangup` (the socket is cut), `damage` (a frame that is not a message), `later` (a type of a later server).
 */

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

export const READY = {
  type: 'ready', protocol: 'sayline.v1', server: 'scripted/1', model: 'words', voices: ['slt', 'awb'],
  default_voice: 'slt', sample_rate_hz: 24000, frame_ms: 80, opus_pre_skip: 156,
};

export class ScriptedServer {
  /** @type {any[]} */ received = [];
  /** @type {string[]} */ offered = [];
  /** Set to close new sessions with this code and reason instead of a greeting. @type {[number, string] | null} */
  closeWith = null;
  apiKey = '';
  /** In which every context waits before it speaks. @type {number[]} */
  places = [];

  #server = createServer((_, response) => response.writeHead(404).end());
  /** @type {Set<import('node:stream').Duplex>} */
  #sockets = new Set();

  async start() {
    this.#server.on('upgrade', (request, socket) => this.#upgrade(request, socket));
    await new Promise((listening) => this.#server.listen(0, '127.0.0.1', () => listening(undefined)));
    this.url = `ws://127.0.0.1:${/** @type {any} */ (this.#server.address()).port}`;
    return this;
  }

  stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
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
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\nSec-WebSocket-Protocol: sayline.v1.json\r\n\r\n`,
    );
    this.#sockets.add(socket);
    socket.on('error', () => {});
    const connection = new Connection(socket, this.places, (message) => this.received.push(message));
    if (this.closeWith) connection.close(...this.closeWith);
    else connection.send(READY);
  }
}

class Connection {
  #socket;
  #unread = Buffer.alloc(0);
  #contexts = new Map();
  #places;

  constructor(socket, places, note) {
    this.#socket = socket;
    this.#places = places;
    socket.on('data', (data) => {
      this.#unread = Buffer.concat([this.#unread, data]);
      for (let frame = this.#next(); frame; frame = this.#next()) {
        if (frame.opcode === 8) this.close(1000, '');
        if (frame.opcode !== 1) continue;
        const message = JSON.parse(frame.payload.toString());
        note(message);
        this.#obey(message);
      }
    });
  }

  send(message) {
    this.#write(1, Buffer.from(JSON.stringify(message)));
  }

  close(code, reason) {
    this.#write(8, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));
    this.#socket.end();
  }

  #obey({ type, context_id, voice, wait, text }) {
    if (type === 'start' && wait === false && this.#places.length) {
      this.send({ type: 'error', code: 'full', message: 'full', final: true, context_id, retry_after_ms: 1500 });
    } else if (type === 'start' && voice === 'nobody') {
      this.send({ type: 'error', code: 'unknown_voice', message: 'there are: slt, awb', final: true, context_id });
    } else if (type === 'start') {
      this.#contexts.set(context_id, { text: '', seq: 0 });
      for (const place of this.#places) this.send({ type: 'queued', context_id, place });
    }
    const context = this.#contexts.get(context_id);
    if (!context) return;
    if (type === 'text') context.text += text;
    if (type === 'flush' || type === 'end' || context.text.endsWith('. ')) this.#speak(context_id, context);
    const last = { end: 'done', cancel: 'cancelled' }[type];
    if (!last || !this.#contexts.delete(context_id)) return;
    this.send({ type: last, context_id, duration_ms: context.seq * 80 });
  }

  #speak(context_id, context) {
    const text = context.text.trim();
    context.text = '';
    const start_ms = context.seq * 80;
    for (const word of text.split(/\s+/).filter(Boolean)) {
      if (word === 'explode') {
        this.#contexts.delete(context_id);
        this.send({ type: 'error', code: 'internal', message: 'internal', final: true, context_id });
        return;
      }
      if (word === 'refuse') this.send({ type: 'error', code: 'text_limit', message: 'too much', final: false, context_id });
      else if (word === 'hangup') this.#socket.destroy();
      else if (word === 'damage') this.#write(2, Buffer.from([1, 2]));
      else if (word === 'later') this.send({ type: 'word', text: 'of a later server' });
      else this.#audio(context_id, context.seq++);
    }
    if (text) this.send({ type: 'segment', context_id, text, start_ms, end_ms: context.seq * 80 });
  }

  #audio(context_id, seq) {
    const name = Buffer.from(context_id);
    const header = Buffer.alloc(16);
    header.writeUInt8(1, 0);
    header.writeUInt8(name.length, 1);
    header.writeUInt32BE(seq, 4);
    header.writeBigUInt64BE(BigInt(seq * 1920), 8);
    this.#write(2, Buffer.concat([header, name, Buffer.from([seq, 0x80])])); // one sample, seq - 32768
  }

  #write(opcode, payload) {
    if (this.#socket.destroyed) return;
    const length = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 255];
    this.#socket.write(Buffer.concat([Buffer.from([0x80 | opcode, ...length]), payload]));
  }

  #next() {
    const data = this.#unread;
    if (data.length < 2) return null;
    const short = data[1] & 127;
    const maskAt = short === 126 ? 4 : 2;
    if (data.length < maskAt + 4) return null;
    const length = short === 126 ? data.readUInt16BE(2) : short;
    const end = maskAt + 4 + length;
    if (data.length < end) return null;
    const mask = data.subarray(maskAt, maskAt + 4);
    const payload = Buffer.from(data.subarray(maskAt + 4, end).map((byte, n) => byte ^ mask[n % 4]));
    this.#unread = data.subarray(end);
    return { opcode: data[0] & 15, payload };
  }
}
