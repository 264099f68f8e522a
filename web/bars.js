/** A waveform as bars that stay where they are in time, however much of it is shown. Knows no page. */

import { BUCKET_MS } from './recording.js';

const MIN_BAR_PX = 4;

/**
 * How loud each bar is, and how long: the shortest that is wide enough to be seen.
 * @param {number[]} peaks of each 20 ms
 * @param {number} spanMs what the whole width shows
 * @param {number} widthPx
 */
export function bars(peaks, spanMs, widthPx) {
  let buckets = 1;
  while ((buckets * BUCKET_MS * widthPx) / spanMs < MIN_BAR_PX) buckets *= 2;
  const loudness = [];
  for (let at = 0; at < peaks.length; at += buckets) loudness.push(Math.max(...peaks.slice(at, at + buckets)));
  return { stepMs: buckets * BUCKET_MS, loudness };
}
