/**
 * What a voice shall be made from: a file, and, where this browser can decode it, how it sounds. What is said of it
 * here is said before it is sent; what the server says afterwards counts.
 */

import { wav } from './recorder_wav.js';

export const MAX_S = 30; // the server uses no more
const FEW_S = 5;
const MIN_S = 0.5;
const QUIET_DB = -40;
const SILENT_PEAK = 0.001; // -60 dB
const SILENT = 'There is nothing to hear in it. Is the microphone muted?';
const BLOCKS_PER_S = 50;
const LOUD_SHARE = 0.9; // so much of the time it is not as loud
const MAX_DECODED_BYTES = 16 * 1024 * 1024; // an hour of MP3 would take a gigabyte to listen to

export class Prompt {
  /** @param {File} file @param {AudioBuffer | null} buffer null where this browser cannot play it */
  constructor(file, buffer) {
    this.file = file;
    this.buffer = buffer;
  }

  /** @param {Float32Array<ArrayBuffer>} samples @param {number} rateHz */
  static recorded(samples, rateHz) {
    const buffer = new AudioBuffer({ length: Math.max(1, samples.length), numberOfChannels: 1, sampleRate: rateHz });
    buffer.copyToChannel(samples, 0);
    return new Prompt(new File([wav(samples, rateHz)], 'recording.wav', { type: 'audio/wav' }), buffer);
  }

  /** @param {File} file */
  static async of(file) {
    if (file.size > MAX_DECODED_BYTES) return new Prompt(file, null);
    const decoder = new OfflineAudioContext(1, 1, 48_000);
    return new Prompt(file, await file.arrayBuffer().then((bytes) => decoder.decodeAudioData(bytes)).catch(() => null));
  }

  get seconds() {
    return this.buffer?.duration ?? null;
  }

  /** Why it need not be sent, in words, or ''. */
  get fault() {
    const { file, buffer } = this;
    if (!file.size) return 'That file is empty.';
    if (!buffer) return '';
    if (buffer.duration < MIN_S) return 'That is too short to hear a voice in.';
    if (Math.max(...channels(buffer).map(peak)) < SILENT_PEAK) return SILENT;
    return '';
  }

  /** What could be better about it, in words, or ''. */
  get hint() {
    const { buffer } = this;
    if (!buffer) return '';
    if (buffer.duration < FEW_S) return `${FEW_S} s or more make a voice that is more like the speaker.`;
    if (buffer.duration > MAX_S + 0.5) return `Only the first ${MAX_S} s will be used.`;
    const loudDb = Math.max(...channels(buffer).map((samples) => loudnessDb(samples, buffer.sampleRate)));
    if (loudDb < QUIET_DB) return 'It is very quiet: go nearer to the microphone, or turn it up.';
    return '';
  }

  /** What it is, and what to do next. */
  get inWords() {
    const { file, buffer, hint } = this;
    if (!buffer) return `${file.name}. It cannot be played here; the server may know it all the same.`;
    return `${file.name}, ${buffer.duration.toFixed(1)} s. ${hint || 'Listen to it, or make the voice.'}`;
  }
}

/** @param {Float32Array} samples */
export function levelDb(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return 10 * Math.log10(power + 1e-12);
}

/** @param {Float32Array} samples */
function peak(samples) {
  return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
}

/** One of two may be silent. @param {AudioBuffer} buffer */
function channels(buffer) {
  return Array.from({ length: buffer.numberOfChannels }, (_, n) => buffer.getChannelData(n));
}

/**
 * Of the loud moments: pauses between words say nothing of how near the speaker is.
 * @param {Float32Array} samples
 * @param {number} rateHz
 */
function loudnessDb(samples, rateHz) {
  const block = Math.round(rateHz / BLOCKS_PER_S);
  const count = Math.floor(samples.length / block);
  const levels = Array.from({ length: count }, (_, n) => levelDb(samples.subarray(n * block, (n + 1) * block)));
  return levels.sort((one, other) => one - other)[Math.floor(LOUD_SHARE * count)];
}
