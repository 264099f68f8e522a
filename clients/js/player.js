/**
 * Plays PCM as it comes. `Player` decides when each frame is heard, with no more than a clock and a sink to put samples
 * in; `WebAudioSink` is that sink in a browser. Neither knows where the frames come from.
 */

/** Heard this much later than it came, the first frame, so that a late second one leaves no hole. */
const JITTER_MS = 120;
const REPORT_EVERY_MS = 1000;
const FADE_S = 0.01; // long enough not to click, too short to hear

/**
 * @typedef {object} Sink
 * @property {() => number} nowS the time of what is heard right now
 * @property {(samples: Float32Array, atS: number) => void} schedule
 * @property {() => void} silence drops all that is scheduled
 */

export class Player {
  #sink;
  #sampleRateHz;
  #jitterS;
  #startS = -Infinity; // when the frames that follow each other now began to be heard
  #endS = -Infinity; // when all that was scheduled has been heard
  #scheduledMs = 0;
  #reportedMs = 0;
  #onPlayed;

  /**
   * `onPlayed` is told how much has been heard about once a second, while frames come: `speech.ack` wants to know.
   * @param {Sink} sink
   * @param {{sampleRateHz?: number, jitterMs?: number, onPlayed?: (playedMs: number) => void}} [options]
   */
  constructor(sink, { sampleRateHz = 24_000, jitterMs = JITTER_MS, onPlayed = () => {} } = {}) {
    this.#onPlayed = onPlayed;
    this.#sink = sink;
    this.#sampleRateHz = sampleRateHz;
    this.#jitterS = jitterMs / 1000;
  }

  /** @param {Int16Array} pcm */
  play(pcm) {
    const nowS = this.#sink.nowS();
    if (this.#endS < nowS) this.#startS = this.#endS = nowS + this.#jitterS; // the first frame, or the first after a gap
    this.#sink.schedule(Float32Array.from(pcm, (sample) => sample / 32768), this.#endS);
    const durationS = pcm.length / this.#sampleRateHz;
    this.#endS += durationS;
    this.#scheduledMs += durationS * 1000;
    this.#report();
  }

  /** How long the listener can go on without another frame. */
  get leadMs() {
    return Math.max(0, this.#endS - this.#sink.nowS()) * 1000;
  }

  /** How much has been heard: silence between frames does not count. */
  get playedMs() {
    const heardToS = Math.max(this.#sink.nowS(), this.#startS);
    return this.#scheduledMs - Math.max(0, this.#endS - heardToS) * 1000;
  }

  /** Silence, now. The next frame starts anew. */
  stop() {
    const playedMs = this.playedMs;
    this.#sink.silence();
    this.#scheduledMs = playedMs;
    this.#endS = -Infinity;
  }

  #report() {
    const playedMs = this.playedMs;
    if (playedMs < this.#reportedMs + REPORT_EVERY_MS) return;
    this.#reportedMs = playedMs;
    this.#onPlayed(playedMs);
  }
}

/** The browser's sound. Make it, or `resume` it, in the handler of a click: browsers keep silent until then. */
export class WebAudioSink {
  #audio;
  #gain;
  /** @type {Set<AudioBufferSourceNode>} */
  #sources = new Set();

  /** @param {number} [sampleRateHz] the frames' own, so that nothing is resampled frame by frame */
  constructor(sampleRateHz = 24_000) {
    this.#audio = new AudioContext({ sampleRate: sampleRateHz, latencyHint: 'interactive' });
    this.#gain = this.#newGain();
  }

  resume() {
    return this.#audio.resume();
  }

  nowS() {
    return this.#audio.currentTime;
  }

  /** @param {Float32Array<ArrayBuffer>} samples @param {number} atS */
  schedule(samples, atS) {
    const buffer = this.#audio.createBuffer(1, samples.length, this.#audio.sampleRate);
    buffer.copyToChannel(samples, 0);
    const source = this.#audio.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#gain);
    source.onended = () => this.#sources.delete(source);
    this.#sources.add(source);
    source.start(atS);
  }

  silence() {
    const endS = this.#audio.currentTime + FADE_S;
    this.#gain.gain.setValueAtTime(1, this.#audio.currentTime);
    this.#gain.gain.linearRampToValueAtTime(0, endS);
    for (const source of this.#sources) source.stop(endS);
    this.#sources.clear();
    this.#gain = this.#newGain();
  }

  #newGain() {
    const gain = this.#audio.createGain();
    gain.connect(this.#audio.destination);
    return gain;
  }
}
