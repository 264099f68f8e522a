/**
 * The recording that a voice is cloned from: a file and, if this browser can decode it, its samples. The checks here
 * run before the upload; the server runs its own afterwards.
 */

import { wav } from './recorder_wav.js';

export const MAX_S = 30; // the server uses no more
const RECOMMENDED_S = 5;
const MIN_S = 3;
const QUIET_DB = -40;
const SILENT_PEAK = 0.001; // -60 dB
const SILENT_RECORDING = 'The recording is silent. Is the microphone muted?';
const SILENT_FILE = 'The file is silent. Choose a recording of one person speaking.';
const NO_SPEECH = 'This does not sound like speech: it has no pauses between syllables. Choose one person speaking.';
const MIN_RANGE_DB = 6; // from the quiet to the loud moments; speech has 20 and more, a tone or noise hardly any
const QUIET_QUANTILE = 0.1;
const BLOCKS_PER_S = 50;
const MAX_NAME_CHARS = 60; // the server takes 64; a number may follow
const LOUD_QUANTILE = 0.9;
const MAX_DECODED_BYTES = 16 * 1024 * 1024; // an hour of MP3 would decode to a gigabyte

export class Prompt {
  /** @param {File} file @param {AudioBuffer | null} buffer null if this browser cannot decode the file */
  constructor(file, buffer, isRecorded = false) {
    this.file = file;
    this.buffer = buffer;
    this.isRecorded = isRecorded;
  }

  /** A name for the voice: that of the file without what the server does not allow in names; '' for a recording. */
  get suggestedName() {
    if (this.isRecorded) return '';
    const stem = this.file.name.replace(/\.[^.]*$/u, '');
    return stem.replace(/[^\p{L}\p{N}]+/gu, ' ').trim().slice(0, MAX_NAME_CHARS).trim();
  }

  /** @param {Float32Array<ArrayBuffer>} samples @param {number} rateHz */
  static recorded(samples, rateHz) {
    const buffer = new AudioBuffer({ length: Math.max(1, samples.length), numberOfChannels: 1, sampleRate: rateHz });
    buffer.copyToChannel(samples, 0);
    return new Prompt(new File([wav(samples, rateHz)], 'recording.wav', { type: 'audio/wav' }), buffer, true);
  }

  /** @param {File} file */
  static async fromFile(file) {
    if (file.size > MAX_DECODED_BYTES) return new Prompt(file, null);
    const decoder = new OfflineAudioContext(1, 1, 48_000);
    return new Prompt(file, await file.arrayBuffer().then((bytes) => decoder.decodeAudioData(bytes)).catch(() => null));
  }

  get seconds() {
    return this.buffer?.duration ?? null;
  }

  /** Why the recording cannot be used, or ''. */
  get problem() {
    const { file, buffer } = this;
    if (!file.size) return 'The file is empty.';
    if (!buffer) return '';
    if (Math.max(...channels(buffer).map(peak)) < SILENT_PEAK) return this.isRecorded ? SILENT_RECORDING : SILENT_FILE;
    if (buffer.duration < MIN_S) {
      return `Only ${buffer.duration.toFixed(1)} s: a voice needs at least ${MIN_S} s of speech, better ${RECOMMENDED_S}.`;
    }
    const rangesDb = channels(buffer).map((samples) => rangeDb(samples, buffer.sampleRate));
    return Math.max(...rangesDb) < MIN_RANGE_DB ? NO_SPEECH : '';
  }

  /** How the recording could be improved, or ''. */
  get hint() {
    const { buffer } = this;
    if (!buffer) return '';
    if (buffer.duration < RECOMMENDED_S) return `${RECOMMENDED_S} s or more make the voice more like the speaker.`;
    if (buffer.duration > MAX_S + 0.5) return `Only the first ${MAX_S} s will be used.`;
    const loudDb = Math.max(...channels(buffer).map((samples) => loudnessDb(samples, buffer.sampleRate)));
    if (loudDb < QUIET_DB) return 'It is very quiet: move closer to the microphone, or turn it up.';
    return '';
  }

  /** What was recorded or chosen, and what to do next. */
  get summary() {
    const { file, buffer, hint } = this;
    if (!buffer) return `${file.name}. The browser cannot play this file, but the server may accept it.`;
    return `${file.name}, ${buffer.duration.toFixed(1)} s. ${hint || 'Play it, or create the voice.'}`;
  }
}

/** Plays a prompt, so that the user can check it before the upload. */
export class PromptPlayer {
  /** @type {AudioContext | null} */ #context = null;
  /** @type {AudioBufferSourceNode | null} */ #source = null;

  get playing() {
    return this.#source !== null;
  }

  /** Call it inside a click handler. Resolves when playback has ended or was stopped. @param {AudioBuffer} buffer */
  async play(buffer) {
    this.#context ??= new AudioContext();
    await this.#context.resume();
    this.stop();
    const source = (this.#source = this.#context.createBufferSource());
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.start();
    await new Promise((ended) => (source.onended = ended));
    if (this.#source === source) this.#source = null;
  }

  stop() {
    this.#source?.stop();
    this.#source = null;
  }
}

/** @param {Float32Array} samples */
export function levelDb(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return 10 * Math.log10(power + 1e-12);
}

/** @param {Float32Array} samples */
function peak(samples) {
  return samples.reduce((max, sample) => Math.max(max, Math.abs(sample)), 0);
}

/** All channels: one of two may be silent. @param {AudioBuffer} buffer */
function channels(buffer) {
  return Array.from({ length: buffer.numberOfChannels }, (_, n) => buffer.getChannelData(n));
}

/**
 * The level of the loud moments. Pauses between words say nothing about the distance to the microphone.
 * @param {Float32Array} samples
 * @param {number} rateHz
 */
function loudnessDb(samples, rateHz) {
  return quantile(blockLevelsDb(samples, rateHz), LOUD_QUANTILE);
}

/** How far the loud moments are above the quiet ones. @param {Float32Array} samples @param {number} rateHz */
function rangeDb(samples, rateHz) {
  const levels = blockLevelsDb(samples, rateHz);
  return quantile(levels, LOUD_QUANTILE) - quantile(levels, QUIET_QUANTILE);
}

/** The level of each 20 ms, in ascending order. @param {Float32Array} samples @param {number} rateHz */
function blockLevelsDb(samples, rateHz) {
  const block = Math.round(rateHz / BLOCKS_PER_S);
  const count = Math.floor(samples.length / block);
  const levels = Array.from({ length: count }, (_, n) => levelDb(samples.subarray(n * block, (n + 1) * block)));
  return levels.sort((a, b) => a - b);
}

/** @param {number[]} ascending @param {number} fraction */
function quantile(ascending, fraction) {
  return ascending[Math.floor(fraction * ascending.length)];
}
