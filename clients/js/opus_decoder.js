/** Decodes Opus packets with the browser's decoder (WebCodecs). */

import { SaylineError } from './errors.js';

/** The rate at which browsers decode Opus, whatever the encoder used. */
export const OPUS_RATE_HZ = 48_000;
const CONFIG = { codec: 'opus', sampleRate: OPUS_RATE_HZ, numberOfChannels: 1 };
const MAX_CONSECUTIVE_FAILURES = 3;

/** @typedef {import('./frame.js').Frame} Frame */

export class OpusDecoder {
  #onSamples;
  #onFailure;
  #codecs;
  #decoder;
  /** Packets that have not been decoded yet. @type {EncodedAudioChunk[]} */
  #pending = [];
  #skipSamples = -1; // remaining samples to drop; below 0 until the first packet
  #preSkipMs = 0;
  #failures = 0;

  /** Whether the browser can decode Opus. Insecure pages (neither https nor localhost) cannot. */
  static async supported(codecs = globalThis) {
    if (!codecs.AudioDecoder) return false;
    return codecs.AudioDecoder.isConfigSupported(CONFIG).then(({ supported }) => supported === true, () => false);
  }

  /**
   * A packet that cannot be decoded is skipped. `onFailure` is called after too many failures in a row.
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
    // Every packet is a key frame: the decoder can start at any of them and converges within a moment.
    const chunk = new this.#codecs.EncodedAudioChunk({ type: 'key', timestamp: Math.round(start_ms * 1000), data });
    this.#pending.push(chunk);
    this.#decoder.decode(chunk);
  }

  /** Resolves when all packets have been decoded. */
  async flush() {
    while (this.#decoder.state === 'configured') {
      const decoder = this.#decoder;
      await decoder.flush().catch(() => {}); // `#onError` handles failures and replaces the decoder
      if (decoder === this.#decoder) return;
    }
  }

  close() {
    this.#pending = [];
    if (this.#decoder.state !== 'closed') this.#decoder.close();
  }

  #newDecoder() {
    const decoder = new this.#codecs.AudioDecoder({
      output: (audio) => this.#onOutput(audio),
      error: (error) => this.#onError(error),
    });
    decoder.configure(CONFIG);
    return decoder;
  }

  /** @param {AudioData} audio */
  #onOutput(audio) {
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

  /** A packet is damaged, or the browser reclaimed the decoder of a background page. @param {DOMException} error */
  #onError(error) {
    if (++this.#failures > MAX_CONSECUTIVE_FAILURES) {
      this.#onFailure(new SaylineError(`Opus cannot be decoded here (${error.message}): ask for { format: 'pcm' }`));
      return;
    }
    if (error.name !== 'QuotaExceededError') this.#pending.shift();
    this.#decoder = this.#newDecoder();
    for (const chunk of this.#pending) this.#decoder.decode(chunk);
  }
}
