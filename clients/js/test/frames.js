/** Makes frames as a context yields them. */

import { Frame } from '../frame.js';

export const FRAME_MS = 80;
const READY = /** @type {any} */ ({ sample_rate_hz: 24_000, opus_pre_skip: 156 });

/** Frame number `n`, filled with one value. @param {number} n @param {number} [value] */
export function pcmFrame(n, value = 0.5) {
  return frame(n, 'pcm', new Uint8Array(new Int16Array(1920).fill(value * 32_768).buffer));
}

/** A packet for the fake decoder. @param {number} n @param {number} value */
export function opusFrame(n, value) {
  return frame(n, 'opus', Uint8Array.of(value));
}

function frame(n, format, data) {
  return new Frame({ type: 'audio', context_id: 'a', seq: n, start_sample: n * 1920, data }, format, READY);
}
