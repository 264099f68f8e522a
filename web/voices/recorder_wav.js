/** Encodes samples as a mono WAV file. */

const HEADER_BYTES = 44;

/**
 * @param {Float32Array} samples from -1 to 1
 * @param {number} rateHz
 * @returns {ArrayBuffer} with 16-bit samples
 */
export function wav(samples, rateHz) {
  const dataBytes = 2 * samples.length;
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + dataBytes));
  const ascii = (/** @type {number} */ at, /** @type {string} */ text) => {
    for (let n = 0; n < text.length; n++) view.setUint8(at + n, text.charCodeAt(n));
  };
  ascii(0, 'RIFF');
  view.setUint32(4, HEADER_BYTES - 8 + dataBytes, true);
  ascii(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rateHz, true);
  view.setUint32(28, 2 * rateHz, true);
  view.setUint16(32, 2, true); // block align
  view.setUint16(34, 16, true); // bits per sample
  ascii(36, 'data');
  view.setUint32(40, dataBytes, true);
  samples.forEach((sample, n) => view.setInt16(HEADER_BYTES + 2 * n, toInt16(sample), true));
  return view.buffer;
}

/** @param {number} sample */
function toInt16(sample) {
  return Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
}
