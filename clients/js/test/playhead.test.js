import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Playhead } from '../playhead.js';

function playheadWith(...reports) {
  const playhead = new Playhead();
  for (const [state, samplesRead, frame] of reports) playhead.add({ state, samplesRead, frame, commands: 0 });
  return playhead;
}

test('before the first report it stands at the beginning', () => {
  assert.deepEqual([0, 99].map((frame) => new Playhead().samplesAt(frame)), [0, 0]);
});

test('between two reports it is exact to the sample', () => {
  const playhead = playheadWith(['flowing', 128, 1128], ['flowing', 1152, 2152], ['held', 1200, 2200], ['flowing', 1328, 3128]);
  const known = { 0: 0, 1000: 0, 1001: 1, 1128: 128, 1500: 500, 2200: 1200, 2999: 1200, 3000: 1200, 3064: 1264 };
  for (const [frame, samplesRead] of Object.entries(known)) assert.equal(playhead.samplesAt(Number(frame)), samplesRead, frame);
});

test('after the newest report it is extrapolated or stands', () => {
  assert.equal(playheadWith(['flowing', 128, 1128]).samplesAt(1200), 200);
  assert.equal(playheadWith(['holding', 128, 1128]).samplesAt(1130), 130);
  for (const state of ['held', 'over']) assert.equal(playheadWith([state, 128, 1128]).samplesAt(1200), 128);
});

test('old reports are dropped', () => {
  const playhead = new Playhead();
  for (let n = 1; n <= 1000; n++) playhead.add({ state: 'flowing', samplesRead: n * 480, frame: n * 480, commands: 0 });
  assert.equal(playhead.samplesAt(999 * 480 + 7), 999 * 480 + 7);
  assert.ok(playhead.samplesAt(0) > 400 * 480, 'the oldest position that is still known');
});
