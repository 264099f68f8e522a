import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Jitter, JitterBuffer } from '../jitter_buffer.js';

const FRAME_MS = 80;

/** Frames that come at these times. */
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

test('where frames come evenly the delay goes down to 40 ms', () => {
  assert.equal(fed(new JitterBuffer(), ...even(2000)).targetMs, 40);
});

test('where one comes late there is room for that at once', () => {
  const buffer = fed(new JitterBuffer(), ...even(10), 720 + 80 + 150);
  assert.equal(buffer.targetMs, 170);
});

test('what adds up is what counts', () => {
  const buffer = fed(new JitterBuffer(), ...even(5, 100)); // each 20 ms late
  assert.equal(buffer.targetMs, 4 * 20 + 20);
});

test('a frame that comes early makes up for one that came late, and nothing beyond', () => {
  const buffer = fed(new JitterBuffer(), 0, 0, 0, 0, 100);
  assert.ok(buffer.targetMs < 80);
  assert.equal(fed(buffer, 100 + 80 + 90).targetMs, 20 + 90 + 20);
});

test('there is no more delay than 300 ms', () => {
  const buffer = fed(new JitterBuffer(), 0, 5000);
  assert.equal(buffer.targetMs, 300);
  assert.equal(fed(buffer, 9000).targetMs, 300);
});

test('what happened once is forgotten slowly', () => {
  const buffer = fed(new JitterBuffer(), 0, 280);
  assert.equal(buffer.targetMs, 220);
  const timesMs = even(125, FRAME_MS, 160);
  fed(buffer, ...timesMs.map((atMs) => Math.max(atMs, 280)));
  assert.ok(buffer.targetMs > 80 && buffer.targetMs < 120, String(buffer.targetMs));
});

test('time in which nobody wrote says nothing', () => {
  const buffer = fed(new JitterBuffer(), 0);
  buffer.excuse();
  assert.equal(fed(buffer, 9000).targetMs, 80);
});

test('what one stream learned the next one knows', () => {
  const jitter = new Jitter();
  fed(new JitterBuffer(jitter), 0, 200);
  assert.equal(new JitterBuffer(jitter).targetMs, 140);
});

test('what ran dry waits anew', () => {
  const buffer = fed(new JitterBuffer(), 0, 0);
  buffer.refill();
  assert.equal(buffer.waitMs(0, 500), 0);
  fed(buffer, 600);
  assert.equal(buffer.waitMs(80, 600), 300);
});
