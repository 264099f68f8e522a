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

test('pushed samples go out, and positions are exact to the sample', async () => {
  const { thread, track } = started();
  assert.equal(track.push(samples(2400), 500), 100);
  assert.equal(track.endMs, 600);
  await thread.run(20);
  track.command('flow');
  const fromMs = thread.deviceMs;
  await thread.run(60);
  assert.equal(track.positionAt(fromMs), 500);
  assert.ok(Math.abs(track.positionAt(fromMs + 33) - 533) < 1e-6);
  await thread.run(100);
  assert.deepEqual([track.readMs, track.positionAt(thread.deviceMs)], [600, 600]);
});

test('samples beyond the ring\'s capacity wait, and none is lost', async () => {
  const { thread, track } = started({ capacity: 24_000 });
  track.push(Float32Array.from({ length: 60_000 }, (_, n) => n + 1), 0);
  track.end();
  track.command('flow');
  await thread.run(2600);
  assert.deepEqual(thread.out.slice(200, 59_800), Array.from({ length: 59_800 }, (_, n) => n + 1).slice(200));
  assert.equal(track.readMs, 2500);
});

test('a state is not reported while a command is on its way', async () => {
  const { thread, track } = started();
  const reported = [];
  track.onReport = (state) => reported.push(state);
  track.push(samples(480), 0);
  track.command('flow');
  await thread.run(10);
  track.command('hold');
  thread.port.onmessage({ data: { state: 'held', samplesRead: 480, frame: 480, commands: 1 } });
  assert.ok(!reported.includes('held'));
  await thread.run(20);
  assert.equal(reported.at(-1), 'held');
});

test('a command without effect is also reported', async () => {
  const { thread, track } = started();
  let reported = 0;
  track.onReport = () => reported++;
  track.command('flow');
  await thread.run(10);
  assert.equal(reported, 1);
});

test('onOver fires when the fade of a stop has ended', async () => {
  const { thread, track } = started();
  let over = 0;
  track.onOver = () => over++;
  track.push(samples(24_000), 0);
  track.command('flow');
  await thread.run(50);
  track.command('drop');
  assert.equal(over, 0);
  await thread.run(20);
  assert.equal(over, 1);
});

test('samples are transferred in small chunks, and the caller\'s array stays intact', () => {
  const sent = [];
  const port = { postMessage: ([, piece], [buffer]) => sent.push([piece.length, buffer.byteLength]), onmessage: null };
  const track = new Track(/** @type {any} */ (port), 240_000, 24_000);
  const all = samples(30_000);
  track.push(all, 0);
  assert.deepEqual(sent, [[12_000, 48_000], [12_000, 48_000], [6000, 24_000]]);
  assert.equal(all.length, 30_000);
});
