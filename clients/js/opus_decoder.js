/** Opus packets become samples, by the browser's own decoder. */

import { SaylineError } from './errors.js';

/** What browsers decode to, whatever was encoded. */
export const OPUS_RATE_HZ = 48_000;
const CONFIG = { codec: 'opus', sampleRate: OPUS_RATE_HZ, numberOfChannels: 1 };
const MAX_FAILURES = 3; // one behind the other

/** @typedef {import('./frame.js').Frame} Frame */

export class OpusDecoder {
  #onSamples;
  #onFailure;
  #codecs;
  #decoder;
  /** Packets whose samples have not come. @type {EncodedAudioChunk[]} */
  #pending = [];
  #skipSamples = -1; // of what comes next; below 0 until the first packet tells
  #preSkipMs = 0;
  #failures = 0;

  /** Whether there is one here: a page that is neither https nor localhost has none. */
  static async supported(codecs = globalThis) {
    if (!codecs.AudioDecoder) return false;
    return codecs.AudioDecoder.isConfigSupported(CONFIG).then(({ supported }) => supported === true, () => false);
  }

  /**
   * `onFailure` is told when it is no use to go on. A packet that cannot be decoded is left out.
   * @param {(samples: Float32Array<ArrayBuffer>, startMs: number) => void} onSamples
   * @param {(error: SaylineError) => void} onFailure
   * @param {Pick<typeof globalThis, 'AudioDecoder' | 'EncodedAudioChunk'>} [codecs]
   */
  constructor(onSamples, onFailure, codecs = globalThis) {
    this.#onSamples = onSamples;
    this.#onFailure = onFailure;
    this.#codecs = codecs;
    this.#decoder = this.#newDecoder();
  }

  /** @param {Frame} frame */
  decode({ data, start_ms, sample_rate_hz, opus_pre_skip }) {
    if (this.#decoder.state === 'closed') return;
    if (this.#skipSamples < 0) {
      this.#preSkipMs = (opus_pre_skip * 1000) / sample_rate_hz;
      this.#skipSamples = Math.round((opus_pre_skip * OPUS_RATE_HZ) / sample_rate_hz);
    }
    // Any packet can be the first: none needs those before it, but for a moment to get in tune.
    const chunk = new this.#codecs.EncodedAudioChunk({ type: 'key', timestamp: Math.round(start_ms * 1000), data });
    this.#pending.push(chunk);
    this.#decoder.decode(chunk);
  }

  /** Until all of it has come. */
  async flush() {
    while (this.#decoder.state === 'configured') {
      const decoder = this.#decoder;
      await decoder.flush().catch(() => {}); // it tells of its failures itself, and there is another one then
      if (decoder === this.#decoder) return;
    }
  }

  close() {
    this.#pending = [];
    if (this.#decoder.state !== 'closed') this.#decoder.close();
  }

  #newDecoder() {
    const decoder = new this.#codecs.AudioDecoder({
      output: (audio) => this.#take(audio),
      error: (error) => this.#recover(error),
    });
    decoder.configure(CONFIG);
    return decoder;
  }

  /** @param {AudioData} audio */
  #take(audio) {
    const samples = new Float32Array(audio.numberOfFrames);
    audio.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
    const startMs = audio.timestamp / 1000 - this.#preSkipMs;
    audio.close();
    this.#failures = 0;
    this.#pending = this.#pending.filter(({ timestamp }) => timestamp > audio.timestamp);
    const skipped = Math.min(this.#skipSamples, samples.length);
    this.#skipSamples -= skipped;
    if (skipped < samples.length) this.#onSamples(samples.slice(skipped), startMs + (skipped * 1000) / OPUS_RATE_HZ);
  }

  /** A packet is damaged, or the browser took the decoder of a page that nobody sees. @param {DOMException} error */
  #recover(error) {
    if (++this.#failures > MAX_FAILURES) {
      this.#onFailure(new SaylineError(`Opus cannot be decoded here (${error.message}): ask for { format: 'pcm' }`));
      return;
    }
    if (error.name !== 'QuotaExceededError') this.#pending.shift();
    this.#decoder = this.#newDecoder();
    for (const chunk of this.#pending) this.#decoder.decode(chunk);
  }
}
