/** The server side of a WebSocket, as far as these tests need it: one frame per message, below 64 KB. */

import { createHash } from 'node:crypto';

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;

export class WebSocketPeer {
  #socket;
  #unread = Buffer.alloc(0);

  /** @param {import('node:stream').Duplex} socket @param {(text: string) => void} onText */
  constructor(socket, onText) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (data) => {
      this.#unread = Buffer.concat([this.#unread, data]);
      for (let frame = this.#next(); frame && !socket.destroyed; frame = this.#next()) {
        if (frame.opcode === CLOSE) this.close(1000, '');
        if (frame.opcode === TEXT) onText(frame.payload.toString());
      }
    });
  }

  /** @param {import('node:http').IncomingMessage} request */
  greet(request) {
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    this.#socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\nSec-WebSocket-Protocol: sayline.v1.json\r\n\r\n`,
    );
  }

  sendText(text) {
    this.#write(TEXT, Buffer.from(text));
  }

  sendBinary(data) {
    this.#write(BINARY, data);
  }

  close(code, reason) {
    this.#write(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));
    this.#socket.end();
  }

  cut() {
    this.#socket.destroy();
  }

  #write(opcode, payload) {
    if (this.#socket.destroyed) return;
    const head = Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    head[1] = payload.length < 126 ? payload.length : payload.length < 0x10000 ? 126 : 127;
    if (head[1] === 126) head.writeUInt16BE(payload.length, 2);
    if (head[1] === 127) head.writeBigUInt64BE(BigInt(payload.length), 2);
    this.#socket.write(Buffer.concat([head.subarray(0, { 126: 4, 127: 10 }[head[1]] ?? 2), payload]));
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
