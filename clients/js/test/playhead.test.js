import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Playhead } from '../playhead.js';

function told(...reports) {
  const playhead = new Playhead();
  for (const [state, moved, frame] of reports) playhead.tell({ state, moved, frame, orders: 0 });
  return playhead;
}

test('before anything moves it stands at the beginning', () => {
  assert.deepEqual([0, 99].map((frame) => new Playhead().at(frame)), [0, 0]);
});

test('between two reports it is known to the sample when it moved', () => {
  const playhead = told(['flowing', 128, 1128], ['flowing', 1152, 2152], ['held', 1200, 2200], ['flowing', 1328, 3128]);
  const known = { 0: 0, 1000: 0, 1001: 1, 1128: 128, 1500: 500, 2200: 1200, 2999: 1200, 3000: 1200, 3064: 1264 };
  for (const [frame, moved] of Object.entries(known)) assert.equal(playhead.at(Number(frame)), moved, frame);
});

test('behind the newest report it goes on, or stands', () => {
  assert.equal(told(['flowing', 128, 1128]).at(1200), 200);
  assert.equal(told(['holding', 128, 1128]).at(1130), 130);
  for (const state of ['held', 'over']) assert.equal(told([state, 128, 1128]).at(1200), 128);
});

test('what is long past is forgotten', () => {
  const playhead = new Playhead();
  for (let n = 1; n <= 1000; n++) playhead.tell({ state: 'flowing', moved: n * 480, frame: n * 480, orders: 0 });
  assert.equal(playhead.at(999 * 480 + 7), 999 * 480 + 7);
  assert.ok(playhead.at(0) > 400 * 480, 'as old as what it still knows');
});
