/** The audio output of a page: mixes any number of players. The only module that needs a browser. */

import { AudioClock } from './audio_clock.js';
import { SaylineError } from './errors.js';
import { JitterEstimate } from './jitter_buffer.js';
import { OPUS_RATE_HZ, OpusDecoder } from './opus_decoder.js';
import { Player } from './player.js';
import { loadWorklet, createRingNode } from './ring_node.js';
import { Track } from './track.js';

const RING_S = 10; // further audio waits outside the audio thread
const FADE_S = 0.008; // long enough to avoid a click, too short to be heard
const RESUME_TIMEOUT_MS = 1000;

export class AudioOutput {
  /** The format to request with `context({ format: output.format })`. @type {'opus' | 'pcm'} */
  format;
  #audio;
  #gain;
  #clock;
  #volume = 1;
  #jitterEstimate = new JitterEstimate();
  /** @type {Set<Player>} */
  #players = new Set();

  /**
   * Open the output. Call it first in a click handler: browsers block audio without a user gesture.
   * @param {{sampleRateHz?: number}} [options] the rate of PCM, to avoid resampling if Opus is not available
   * @returns {Promise<AudioOutput>}
   */
  static async open({ sampleRateHz = 24_000 } = {}) {
    // No `await` before `resume`: it must run inside the click handler.
    const rateHz = 'AudioDecoder' in globalThis ? OPUS_RATE_HZ : sampleRateHz;
    const audio = new AudioContext({ sampleRate: rateHz, latencyHint: 'interactive' });
    try {
      await Promise.race([audio.resume(), rejectAfterTimeout()]);
      await loadWorklet(audio);
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

  /** The rate of the samples that players accept and report. */
  get sampleRateHz() {
    return this.#audio.sampleRate;
  }

  /** The last node before the destination. @returns {AudioNode} */
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
   * Create a player for one stream of speech; several can play at once.
   * @param {import('./player.js').Listener} [listener]
   */
  player(listener) {
    if (this.#audio.state === 'closed') throw new SaylineError('this output is closed: open another');
    const rateHz = this.sampleRateHz;
    const capacity = RING_S * rateHz;
    const { node, port } = createRingNode(this.#audio, { capacity, fadeSamples: Math.round(FADE_S * rateHz), rateHz });
    node.connect(this.#gain);
    const track = new Track(port, capacity, rateHz);
    track.onOver = () => node.disconnect();
    const player = new Player(track, this.#clock, rateHz, listener, this.#jitterEstimate);
    this.#players.add(player);
    const remove = () => this.#players.delete(player);
    player.finished.then(remove, remove);
    return player;
  }

  /** Stop all players and release the audio device. */
  async close() {
    for (const player of this.#players) player.stop();
    if (this.#audio.state !== 'closed') await this.#audio.close();
  }
}

/** @returns {Promise<never>} */
async function rejectAfterTimeout() {
  await new Promise((next) => setTimeout(next, RESUME_TIMEOUT_MS));
  throw new SaylineError('the browser blocks audio on this page: open the output in the handler of a click');
}
