import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Underruns } from '../underruns.js';

test('silence in the middle of speech is an underrun', () => {
  const underruns = new Underruns();
  underruns.addSegmentEnd(400);
  underruns.start(240, 1000);
  assert.equal(underruns.end(250, 1110), 100);
  underruns.start(320, 2000);
  assert.equal(underruns.end(320, 2050), 50);
  assert.deepEqual([underruns.count, underruns.ms], [2, 150]);
});

test('silence after a segment is not an underrun', () => {
  const underruns = new Underruns();
  underruns.start(393.5, 1000);
  underruns.addSegmentEnd(400);
  assert.equal(underruns.end(400, 5000), 0);
  assert.equal(underruns.count, 0);
});

test('silence in a pause is not an underrun', () => {
  const underruns = new Underruns();
  underruns.start(240, 1000);
  underruns.discard();
  assert.equal(underruns.end(250, 1110), 0);
});

test('without silence there is no underrun', () => {
  assert.equal(new Underruns().end(250, 1110), 0);
});
