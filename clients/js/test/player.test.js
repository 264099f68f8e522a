/** The player with the real worklet code, on a simulated clock. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitterEstimate } from '../jitter_buffer.js';
import { Player } from '../player.js';
import { Track } from '../track.js';
import { AudioThread } from './audio_thread.js';
import { FRAME_MS, opusFrame, pcmFrame } from './frames.js';
import { AudioDecoder, DAMAGED, EncodedAudioChunk } from './fake_codecs.js';

const FADE_STEP = 1 / 192;
const QUANTUM_MS = 128 / 24;
const LOUD = 0.5;

class PlayerHarness {
  thread;
  player;
  played = [];
  underruns = [];
  samples = [];
  #count = 0;

  constructor({ jitter, ...options } = {}) {
    this.thread = new AudioThread(options);
    const track = new Track(this.thread.port, 240_000, this.thread.rateHz);
    const listener = {
      onPlayed: (ms) => this.played.push(Math.round(ms)),
      onUnderrun: (ms) => this.underruns.push(Math.round(ms)),
      onSamples: (samples, startMs) => this.samples.push([startMs, samples.length]),
    };
    this.player = new Player(track, this.thread, this.thread.rateHz, listener, jitter);
  }

  /** Play the next frames. */
  pushFrames(count = 1) {
    for (let n = 0; n < count; n++) this.player.play(pcmFrame(this.#count++, LOUD));
  }

  /** Report a segment that ends with the frames played so far. */
  endSegment() {
    const end_ms = this.#count * FRAME_MS;
    this.player.play({ type: 'segment', context_id: 'a', seq: 0, text: 'a', start_char: 0, end_char: 1, start_ms: 0, end_ms });
  }

  run(ms) {
    return this.thread.run(ms);
  }

  get playedOutMs() {
    return this.thread.out.filter((sample) => sample !== 0).length / 24;
  }

  /** Play frames at the pace of speech. */
  async pushInRealTime(count) {
    for (let n = 0; n < count; n++) {
      this.pushFrames();
      await this.run(FRAME_MS);
    }
  }

  checkNoClick() {
    const first = this.thread.out.findIndex((sample) => sample !== 0);
    const from = this.thread.out.slice(first);
    assert.ok(from.length > 0);
    from.forEach((sample, n) => assert.ok(!n || Math.abs(sample - from[n - 1]) <= LOUD * FADE_STEP + 1e-6));
  }
}

const near = (actual, expected, byMs = QUANTUM_MS) => assert.ok(Math.abs(actual - expected) <= byMs, `${actual} is not ${expected}`);

test('frames play in order, and finished resolves when the last one is audible', async () => {
  const harness = new PlayerHarness({ latencyMs: 100 });
  harness.pushFrames(10);
  harness.player.end();
  const finished = harness.player.finished.then((playedMs) => [playedMs, harness.thread.deviceMs]);
  await harness.run(1200);
  const [playedMs, atMs] = await finished;
  assert.equal(playedMs, 800);
  near(harness.playedOutMs, 800);
  near(atMs, 900, 3 * QUANTUM_MS);
  harness.checkNoClick();
  assert.deepEqual(harness.player.underruns, { count: 0, ms: 0 });
  assert.deepEqual([harness.player.playedMs, harness.player.leadMs], [800, 0]);
});

test('samples are reported when decoded, before they are audible', () => {
  const harness = new PlayerHarness();
  harness.pushFrames(2);
  assert.deepEqual(harness.samples, [[0, 1920], [80, 1920]]);
});

test('the first frame waits for the second', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames();
  await harness.run(30);
  assert.equal(harness.playedOutMs, 0);
  harness.pushFrames();
  await harness.run(2 * QUANTUM_MS);
  assert.ok(harness.playedOutMs > 0);
});

test('the first frame does not wait for long', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames();
  await harness.run(80 + 2 * QUANTUM_MS);
  assert.ok(harness.playedOutMs > 0);
});

test('a single frame plays if it is the last', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames();
  harness.player.end();
  await harness.run(100);
  near(harness.playedOutMs, 80);
});

test('played and buffered audio add up to what was received', async () => {
  const harness = new PlayerHarness({ latencyMs: 50 });
  harness.pushFrames(10);
  await harness.run(400);
  near(harness.player.playedMs, 350, 2 * QUANTUM_MS);
  assert.equal(harness.player.playedMs + harness.player.leadMs, 800);
});

test('the played position is reported about once a second', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(40);
  harness.player.end();
  await harness.run(3300);
  assert.equal(harness.played.length, 4);
  [1000, 2000, 3000].forEach((ms, n) => near(harness.played[n], ms, 20 * (n + 2)));
  assert.equal(harness.played[3], 3200);
});

test('frames in real time play without an underrun', async () => {
  const harness = new PlayerHarness();
  await harness.pushInRealTime(30);
  harness.checkNoClick();
  assert.deepEqual(harness.player.underruns, { count: 0, ms: 0 });
  assert.ok(harness.player.jitterMs < 80);
});

test('an underrun fades, is counted and reported, and raises the jitter target', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(3);
  await harness.run(500);
  assert.deepEqual(harness.underruns, [], 'the stream may be over');
  harness.pushFrames(10);
  await harness.run(100);
  assert.equal(harness.underruns.length, 1);
  near(harness.underruns[0], 260, 2 * QUANTUM_MS);
  assert.equal(harness.player.underruns.count, 1);
  assert.equal(harness.player.jitterMs, 300);
  harness.checkNoClick();
  near(harness.played[0], 240);
});

test('silence after a segment is no underrun and does not change the jitter target', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(3);
  harness.endSegment();
  await harness.run(2000);
  harness.pushFrames(10);
  await harness.run(100);
  assert.deepEqual([harness.player.underruns.count, harness.underruns.length], [0, 0]);
  assert.ok(harness.player.jitterMs <= 80);
});

test('silence at the very end is no underrun', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(3);
  await harness.run(500);
  harness.player.end();
  await harness.run(20);
  assert.equal(await harness.player.finished, 240);
  assert.equal(harness.player.underruns.count, 0);
});

test('streams of one output share the jitter estimate', async () => {
  const jitter = new JitterEstimate();
  const harness = new PlayerHarness({ jitter });
  harness.pushFrames();
  await harness.run(300);
  harness.pushFrames();
  assert.ok(new PlayerHarness({ jitter }).player.jitterMs > 200);
});

test('a pause fades, keeps its position, and is no underrun', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(20);
  await harness.run(400);
  harness.player.pause();
  harness.player.pause();
  assert.equal(harness.player.paused, true);
  await harness.run(500);
  const { playedMs } = harness.player;
  near(playedMs, 408, 2 * QUANTUM_MS);
  assert.deepEqual(harness.thread.out.slice(-4800), Array(4800).fill(0));
  near(harness.played.at(-1), playedMs, 1);
  harness.player.resume();
  harness.player.resume();
  harness.player.end();
  await harness.run(1400);
  assert.equal(await harness.player.finished, 1600);
  near(harness.playedOutMs, 1600);
  harness.checkNoClick();
  assert.equal(harness.player.underruns.count, 0);
});

test('frames received in a pause play after it', async () => {
  const harness = new PlayerHarness();
  harness.player.pause();
  harness.pushFrames(10);
  await harness.run(300);
  assert.equal(harness.playedOutMs, 0);
  harness.player.resume();
  await harness.run(100);
  assert.ok(harness.playedOutMs > 80);
});

test('after a pause during an underrun playback continues with the next frames', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(3);
  await harness.run(500);
  harness.player.pause();
  await harness.run(100);
  harness.player.resume();
  await harness.run(100);
  harness.pushFrames(3);
  harness.player.end();
  await harness.run(400);
  assert.equal(await harness.player.finished, 480);
  assert.equal(harness.player.underruns.count, 0);
});

test('resume with an empty buffer waits for more', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(2);
  await harness.run(155);
  harness.player.pause();
  await harness.run(50);
  harness.player.resume();
  await harness.run(50);
  harness.pushFrames(3);
  harness.player.end();
  await harness.run(500);
  assert.equal(await harness.player.finished, 400);
});

test('stop is silent within 20 ms, without a click, and returns the played time', async () => {
  const harness = new PlayerHarness({ latencyMs: 200 });
  harness.pushFrames(20);
  await harness.run(500);
  const playedMs = harness.player.stop();
  const at = harness.thread.out.length;
  await harness.run(300);
  near(playedMs, 500, 2 * QUANTUM_MS); // samples already sent to the device will be audible
  assert.ok(harness.thread.out.slice(at + 20 * 24).every((sample) => sample === 0));
  harness.checkNoClick();
  near(await harness.player.finished, playedMs, 1);
  near(harness.played.at(-1), playedMs, 1);
  near(harness.player.playedMs, playedMs, 20);
  assert.equal(harness.player.leadMs, 0);
});

test('nothing plays after a stop', async () => {
  const harness = new PlayerHarness();
  harness.player.stop();
  harness.pushFrames(5);
  harness.player.pause();
  harness.player.resume();
  harness.player.end();
  await harness.run(300);
  assert.deepEqual([harness.playedOutMs, harness.player.stop(), await harness.player.finished], [0, 0, 0]);
});

test('no frames are accepted after the end', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(2);
  harness.player.play({ type: 'done', context_id: 'a', seq: 9, duration_ms: 160 });
  harness.pushFrames(5);
  await harness.run(300);
  assert.equal(await harness.player.finished, 160);
});

test('a cancelled context ends the stream', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames();
  const times = { duration_ms: 80, generated_ms: 80 };
  harness.player.play({ type: 'cancelled', context_id: 'a', seq: 9, ...times, heard_chars: 0, heard_text: '', unheard_text: '' });
  await harness.run(200);
  assert.equal(await harness.player.finished, 80);
});

test('samples left in the resampler are not played after a stop', async () => {
  const harness = new PlayerHarness({ rateHz: 48_000 }); // so that the resampler holds samples back
  harness.pushFrames(2);
  harness.player.end();
  const came = harness.samples.length;
  harness.player.stop();
  await harness.run(100);
  assert.equal(harness.samples.length, came);
});

test('ending an empty stream finishes at once', async () => {
  const harness = new PlayerHarness();
  harness.player.end();
  await harness.run(20);
  assert.equal(await harness.player.finished, 0);
});

test('a stop during the final decode ends the stream', async () => {
  const harness = new PlayerHarness();
  harness.pushFrames(2);
  harness.player.end();
  harness.player.stop();
  await harness.run(100);
  assert.equal(harness.playedOutMs, 0);
});

test('a replay starts at its own position', async () => {
  const harness = new PlayerHarness();
  harness.player.play({ samples: new Float32Array(24_000).fill(LOUD), start_ms: 4000 });
  harness.player.end();
  await harness.run(500);
  near(harness.player.playedMs, 4500, 2 * QUANTUM_MS);
  assert.deepEqual(harness.played, [], 'not a second yet');
  await harness.run(700);
  assert.equal(await harness.player.finished, 5000);
});

test('a decoding failure rejects finished', async () => {
  const harness = new PlayerHarness();
  Object.assign(globalThis, { AudioDecoder, EncodedAudioChunk });
  for (let n = 0; n < 6; n++) harness.player.play(opusFrame(n, DAMAGED));
  await assert.rejects(harness.player.finished, /format: 'pcm'/);
});

/** A context that yields all its events at once. */
class ScriptedContext {
  acked = [];
  events;

  constructor(...events) {
    this.events = events;
  }

  ack = (playedMs) => this.acked.push(Math.round(playedMs));

  async *[Symbol.asyncIterator]() {
    try {
      for (const event of this.events) {
        if (event instanceof Error) throw event;
        yield event;
      }
    } finally {
      this.isClosed = true;
    }
  }
}

const frames = (count) => Array.from({ length: count }, (_, n) => pcmFrame(n));

test('playAll plays a context and acknowledges the played audio', async () => {
  const harness = new PlayerHarness();
  const speech = new ScriptedContext(...frames(20), { type: 'done', context_id: 'a', seq: 20, duration_ms: 1600 });
  const result = harness.player.playAll(/** @type {any} */ (speech));
  await harness.run(2000);
  assert.equal(await result, 1600);
  assert.deepEqual(speech.acked, harness.played);
  assert.equal(speech.acked.at(-1), 1600);
});

test('a context that fails is played as far as it was received', async () => {
  const harness = new PlayerHarness();
  const failed = harness.player.playAll(/** @type {any} */ (new ScriptedContext(...frames(5), new Error('gone'))));
  await assert.rejects(failed, /gone/);
  await harness.run(600);
  assert.equal(await harness.player.finished, 400);
});

test('a stop leaves the context\'s iterator', async () => {
  const harness = new PlayerHarness();
  const speech = new ScriptedContext(...frames(5));
  const result = harness.player.playAll(/** @type {any} */ (speech));
  harness.player.stop();
  assert.equal(await result, 0);
  assert.equal(speech.isClosed, true);
});
