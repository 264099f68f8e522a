import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitterEstimate, JitterBuffer } from '../jitter_buffer.js';

const FRAME_MS = 80;

/** Add frames received at these times. */
function fed(buffer, ...timesMs) {
  for (const atMs of timesMs) buffer.add(FRAME_MS, atMs);
  return buffer;
}

const even = (count, everyMs = FRAME_MS, fromMs = 0) => Array.from({ length: count }, (_, n) => fromMs + n * everyMs);

test('the first frame waits for the second, but not for long', () => {
  const buffer = fed(new JitterBuffer(), 1000);
  assert.equal(buffer.targetMs, 80);
  assert.equal(buffer.waitMs(80, 1000), 80);
  assert.equal(buffer.waitMs(80, 1050), 30);
  assert.equal(buffer.waitMs(80, 1080), 0);
  fed(buffer, 1010);
  assert.equal(buffer.waitMs(160, 1010), 0);
});

test('with evenly spaced frames the target falls to 40 ms', () => {
  assert.equal(fed(new JitterBuffer(), ...even(2000)).targetMs, 40);
});

test('a late frame raises the target at once', () => {
  const buffer = fed(new JitterBuffer(), ...even(10), 720 + 80 + 150);
  assert.equal(buffer.targetMs, 170);
});

test('lateness accumulates over frames', () => {
  const buffer = fed(new JitterBuffer(), ...even(5, 100)); // each 20 ms late
  assert.equal(buffer.targetMs, 4 * 20 + 20);
});

test('an early frame compensates for a late one, but nothing beyond', () => {
  const buffer = fed(new JitterBuffer(), 0, 0, 0, 0, 100);
  assert.ok(buffer.targetMs < 80);
  assert.equal(fed(buffer, 100 + 80 + 90).targetMs, 20 + 90 + 20);
});

test('the target is at most 300 ms', () => {
  const buffer = fed(new JitterBuffer(), 0, 5000);
  assert.equal(buffer.targetMs, 300);
  assert.equal(fed(buffer, 9000).targetMs, 300);
});

test('a single delay is forgotten slowly', () => {
  const buffer = fed(new JitterBuffer(), 0, 280);
  assert.equal(buffer.targetMs, 220);
  const timesMs = even(125, FRAME_MS, 160);
  fed(buffer, ...timesMs.map((atMs) => Math.max(atMs, 280)));
  assert.ok(buffer.targetMs > 80 && buffer.targetMs < 120, String(buffer.targetMs));
});

test('an interval without text is not counted as lateness', () => {
  const buffer = fed(new JitterBuffer(), 0);
  buffer.skipInterval();
  assert.equal(fed(buffer, 9000).targetMs, 80);
});

test('streams of one output share the estimate', () => {
  const estimate = new JitterEstimate();
  fed(new JitterBuffer(estimate), 0, 200);
  assert.equal(new JitterBuffer(estimate).targetMs, 140);
});

test('after an underrun the buffer fills again', () => {
  const buffer = fed(new JitterBuffer(), 0, 0);
  buffer.reset();
  assert.equal(buffer.waitMs(0, 500), 0);
  fed(buffer, 600);
  assert.equal(buffer.waitMs(80, 600), 300);
});
