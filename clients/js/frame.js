/** One frame of audio, as a context yields it. */

import { SaylineError } from './errors.js';

/** 80 ms of audio: an Opus packet or 16-bit PCM. */
export class Frame {
  /** @type {'frame'} */
  type = 'frame';

  /**
   * @param {import('./wire.js').AudioMessage} audio
   * @param {'pcm' | 'opus'} format
   * @param {import('./wire.js').ReadyMessage} ready
   */
  constructor({ context_id, seq, start_sample, data }, format, { sample_rate_hz, opus_pre_skip }) {
    this.context_id = context_id;
    this.seq = seq;
    this.start_ms = (start_sample * 1000) / sample_rate_hz;
    this.format = format;
    this.data = data;
    this.sample_rate_hz = sample_rate_hz;
    this.opus_pre_skip = opus_pre_skip;
  }

  /** The samples, decoded from little-endian bytes at any alignment. */
  get pcm() {
    if (this.format !== 'pcm') {
      throw new SaylineError(`this frame is ${this.format}: ask for PCM with context({ format: 'pcm' })`);
    }
    const bytes = new DataView(this.data.buffer, this.data.byteOffset, this.data.byteLength);
    return Int16Array.from({ length: this.data.byteLength >> 1 }, (_, n) => bytes.getInt16(2 * n, true));
  }
}
