/** A fake of the browser's Opus decoder: a packet of one byte becomes a frame of samples of that value. */

export const FRAME_SAMPLES = 3840;
export const DAMAGED = 255;

export class EncodedAudioChunk {
  constructor({ type, timestamp, data }) {
    Object.assign(this, { type, timestamp, data });
  }
}

/** All decoders created so far. @type {AudioDecoder[]} */
export const createdDecoders = [];

export class AudioDecoder {
  static support = async () => ({ supported: true });
  static isConfigSupported = (config) => AudioDecoder.support(config);

  state = 'unconfigured';
  #output;
  #error;
  #queue = Promise.resolve();

  constructor({ output, error }) {
    this.#output = output;
    this.#error = error;
    createdDecoders.push(this);
  }

  configure() {
    this.state = 'configured';
  }

  decode({ timestamp, data: [value] }) {
    if (this.state !== 'configured') throw new Error(`decode when ${this.state}`);
    this.#queue = this.#queue.then(() => {
      if (this.state === 'closed') return;
      if (value === DAMAGED) this.fail('EncodingError', 'Decoding error.');
      else this.#output(new FakeAudioData(timestamp, value / 100));
    });
  }

  async flush() {
    await this.#queue;
    if (this.state === 'closed') throw new Error('closed');
  }

  close() {
    this.state = 'closed';
  }

  fail(name, message) {
    this.close();
    this.#error(Object.assign(new Error(message), { name }));
  }
}

class FakeAudioData {
  numberOfFrames = FRAME_SAMPLES;
  constructor(timestamp, value) {
    Object.assign(this, { timestamp, value });
  }

  copyTo(samples) {
    samples.fill(this.value);
  }

  close() {}
}
