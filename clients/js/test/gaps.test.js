import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gaps } from '../gaps.js';

test('silence in the midst of speech is a fault', () => {
  const gaps = new Gaps();
  gaps.tellEnd(400);
  gaps.begin(240, 1000);
  assert.equal(gaps.end(250, 1110), 100);
  gaps.begin(320, 2000);
  assert.equal(gaps.end(320, 2050), 50);
  assert.deepEqual([gaps.count, gaps.ms], [2, 150]);
});

test('silence behind a piece of text is none', () => {
  const gaps = new Gaps();
  gaps.begin(393.5, 1000);
  gaps.tellEnd(400);
  assert.equal(gaps.end(400, 5000), 0);
  assert.equal(gaps.count, 0);
});

test('silence that was wished for is none', () => {
  const gaps = new Gaps();
  gaps.begin(240, 1000);
  gaps.excuse();
  assert.equal(gaps.end(250, 1110), 0);
});

test('where there was none there is none', () => {
  assert.equal(new Gaps().end(250, 1110), 0);
});
