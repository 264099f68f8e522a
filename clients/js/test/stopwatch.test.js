import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stopwatch } from '../stopwatch.js';

test('time to first audio counts from the text that completed the first segment', () => {
  let nowMs = 0;
  const watch = new Stopwatch(() => nowMs);
  for (const text of ['Hello ', 'there.', ' And']) {
    nowMs += 100;
    watch.sent(text);
  }
  assert.equal(watch.firstAudioMs, null);
  nowMs = 350;
  watch.heard(80);
  assert.equal(watch.firstAudioMs, 50);
  watch.sent(' more');
  watch.heard(80);
  watch.segment(12);
  watch.segment(21);
  assert.deepEqual([watch.firstAudioMs, watch.speechMs], [150, 160]);
});
