import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Track } from '../track.js';
import { AudioThread } from './audio_thread.js';

const samples = (count) => new Float32Array(count).fill(0.5);

function started(options) {
  const thread = new AudioThread(options);
  const track = new Track(thread.port, options?.capacity ?? 240_000, thread.rateHz);
  return { thread, track };
}

test('what is pushed goes out, and is known to the sample', async () => {
  const { thread, track } = started();
  assert.equal(track.push(samples(2400), 500), 100);
  assert.equal(track.endMs, 600);
  await thread.run(20);
  track.order('flow');
  const fromMs = thread.sentMs;
  await thread.run(60);
  assert.equal(track.at(fromMs), 500);
  assert.ok(Math.abs(track.at(fromMs + 33) - 533) < 1e-6);
  await thread.run(100);
  assert.deepEqual([track.movedMs, track.at(thread.sentMs)], [600, 600]);
});

test('what the ring has no room for waits, and nothing is lost', async () => {
  const { thread, track } = started({ capacity: 24_000 });
  track.push(Float32Array.from({ length: 60_000 }, (_, n) => n + 1), 0);
  track.end();
  track.order('flow');
  await thread.run(2600);
  assert.deepEqual(thread.out.slice(200, 59_800), Array.from({ length: 59_800 }, (_, n) => n + 1).slice(200));
  assert.equal(track.movedMs, 2500);
});

test('a state that an order is about to change is not told', async () => {
  const { thread, track } = started();
  const told = [];
  track.onReport = (state) => told.push(state);
  track.push(samples(480), 0);
  track.order('flow');
  await thread.run(10);
  track.order('hold');
  thread.port.onmessage({ data: { state: 'held', moved: 480, frame: 480, orders: 1 } });
  assert.ok(!told.includes('held'));
  await thread.run(20);
  assert.equal(told.at(-1), 'held');
});

test('an order that changes nothing is answered, too', async () => {
  const { thread, track } = started();
  let told = 0;
  track.onReport = () => told++;
  track.order('flow');
  await thread.run(10);
  assert.equal(told, 1);
});

test('its node is no longer needed when the fade of a stop is over', async () => {
  const { thread, track } = started();
  let over = 0;
  track.onOver = () => over++;
  track.push(samples(24_000), 0);
  track.order('flow');
  await thread.run(50);
  track.order('drop');
  assert.equal(over, 0);
  await thread.run(20);
  assert.equal(over, 1);
});

test('no more goes over at once than is needed soon, and what came is left as it is', () => {
  const sent = [];
  const port = { postMessage: ([, piece], [buffer]) => sent.push([piece.length, buffer.byteLength]), onmessage: null };
  const track = new Track(/** @type {any} */ (port), 240_000, 24_000);
  const all = samples(30_000);
  track.push(all, 0);
  assert.deepEqual(sent, [[12_000, 48_000], [12_000, 48_000], [6000, 24_000]]);
  assert.equal(all.length, 30_000);
});
