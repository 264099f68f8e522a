/** The sound of a page: any number of players, mixed and made as loud as wished. The one part that needs a browser. */

import { AudioClock } from './audio_clock.js';
import { SaylineError } from './errors.js';
import { Jitter } from './jitter_buffer.js';
import { OPUS_RATE_HZ, OpusDecoder } from './opus_decoder.js';
import { Player } from './player.js';
import { prepare, ringNode } from './ring_node.js';
import { Track } from './track.js';

const RING_S = 10; // the rest waits outside the audio thread
const FADE_S = 0.008; // long enough not to click, too short to hear
const CLICK_MS = 1000; // so long a browser may take to begin

export class AudioOutput {
  /** What it can play: ask for it with `context({ format: output.format })`. @type {'opus' | 'pcm'} */
  format;
  #audio;
  #gain;
  #clock;
  #volume = 1;
  #jitter = new Jitter();
  /** @type {Set<Player>} */
  #players = new Set();

  /**
   * In the handler of a click: browsers keep silent until then.
   * @param {{sampleRateHz?: number}} [options] of PCM, so that nothing is resampled where there is no Opus
   * @returns {Promise<AudioOutput>}
   */
  static async open({ sampleRateHz = 24_000 } = {}) {
    // Nothing is awaited before `resume`: it would not be in the handler of a click any more.
    const rateHz = 'AudioDecoder' in globalThis ? OPUS_RATE_HZ : sampleRateHz;
    const audio = new AudioContext({ sampleRate: rateHz, latencyHint: 'interactive' });
    try {
      await Promise.race([audio.resume(), tooLate()]);
      await prepare(audio);
      return new AudioOutput(audio, (await OpusDecoder.supported()) ? 'opus' : 'pcm');
    } catch (error) {
      await audio.close();
      throw error;
    }
  }

  /** Use `AudioOutput.open`. @param {AudioContext} audio @param {'opus' | 'pcm'} format */
  constructor(audio, format) {
    this.#audio = audio;
    this.format = format;
    this.#clock = new AudioClock(audio);
    this.#gain = new GainNode(audio);
    this.#gain.connect(audio.destination);
  }

  /** Of the samples that players take and give. */
  get sampleRateHz() {
    return this.#audio.sampleRate;
  }

  /** The last node: what is heard. @returns {AudioNode} */
  get node() {
    return this.#gain;
  }

  /** 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(volume) {
    this.#volume = Math.min(1, Math.max(0, volume));
    this.#gain.gain.setTargetAtTime(this.#volume, this.#audio.currentTime, FADE_S);
  }

  /**
   * For one stream of speech; there may be several at once.
   * @param {import('./player.js').Listener} [listener]
   */
  player(listener) {
    if (this.#audio.state === 'closed') throw new SaylineError('this output is closed: open another');
    const rateHz = this.sampleRateHz;
    const capacity = RING_S * rateHz;
    const { node, port } = ringNode(this.#audio, { capacity, fadeSamples: Math.round(FADE_S * rateHz), rateHz });
    node.connect(this.#gain);
    const track = new Track(port, capacity, rateHz);
    track.onOver = () => node.disconnect();
    const player = new Player(track, this.#clock, rateHz, listener, this.#jitter);
    this.#players.add(player);
    const gone = () => this.#players.delete(player);
    player.finished.then(gone, gone);
    return player;
  }

  /** Silence: all players stop. */
  async close() {
    for (const player of this.#players) player.stop();
    if (this.#audio.state !== 'closed') await this.#audio.close();
  }
}

/** @returns {Promise<never>} */
async function tooLate() {
  await new Promise((next) => setTimeout(next, CLICK_MS));
  throw new SaylineError('the browser lets this page make no sound yet: open the output in the handler of a click');
}
