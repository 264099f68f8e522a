/** A piece of audio, as the reader of a context gets it. */

import { SaylineError } from './errors.js';

/** 80 ms of audio: one Opus packet, or 16-bit PCM. */
export class Frame {
  type = 'frame';

  /** @param {number} seq @param {number} startMs @param {string} format @param {Uint8Array} data */
  constructor(seq, startMs, format, data) {
    this.seq = seq;
    this.start_ms = startMs;
    this.format = format;
    this.data = data;
  }

  /** Samples, whatever byte order this machine has and wherever the bytes lie. */
  get pcm() {
    if (this.format !== 'pcm') {
      throw new SaylineError(`this frame is ${this.format}: ask for PCM with context({ format: 'pcm' })`);
    }
    const bytes = new DataView(this.data.buffer, this.data.byteOffset, this.data.byteLength);
    return Int16Array.from({ length: this.data.byteLength >> 1 }, (_, n) => bytes.getInt16(2 * n, true));
  }
}
