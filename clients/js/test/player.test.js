/** A player on the audio thread's own code, on a clock of paper: what is heard, when, and what is told of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Jitter } from '../jitter_buffer.js';
import { Player } from '../player.js';
import { Track } from '../track.js';
import { AudioThread } from './audio_thread.js';
import { FRAME_MS, opusFrame, pcmFrame } from './frames.js';
import { AudioDecoder, DAMAGED, EncodedAudioChunk } from './paper_codecs.js';

const FADE_STEP = 1 / 192;
const QUANTUM_MS = 128 / 24;
const LOUD = 0.5;

class Stage {
  thread;
  player;
  played = [];
  gaps = [];
  samples = [];
  #count = 0;

  constructor({ jitter, ...options } = {}) {
    this.thread = new AudioThread(options);
    const track = new Track(this.thread.port, 240_000, this.thread.rateHz);
    const listener = {
      onPlayed: (ms) => this.played.push(Math.round(ms)),
      onUnderrun: (ms) => this.gaps.push(Math.round(ms)),
      onSamples: (samples, startMs) => this.samples.push([startMs, samples.length]),
    };
    this.player = new Player(track, this.thread, this.thread.rateHz, listener, jitter);
  }

  /** The next frames. */
  say(count = 1) {
    for (let n = 0; n < count; n++) this.player.play(pcmFrame(this.#count++, LOUD));
  }

  /** All of the text is said that came so far. */
  endPiece() {
    const end_ms = this.#count * FRAME_MS;
    this.player.play({ type: 'segment', context_id: 'a', seq: 0, text: 'a', start_char: 0, end_char: 1, start_ms: 0, end_ms });
  }

  run(ms) {
    return this.thread.run(ms);
  }

  get heardMs() {
    return this.thread.out.filter((sample) => sample !== 0).length / 24;
  }

  /** Frames at the pace of speech. */
  async speak(count) {
    for (let n = 0; n < count; n++) {
      this.say();
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

test('frames are heard one behind the other, and the end is told when it is heard', async () => {
  const stage = new Stage({ latencyMs: 100 });
  stage.say(10);
  stage.player.end();
  const toldAtMs = stage.player.finished.then((playedMs) => [playedMs, stage.thread.sentMs]);
  await stage.run(1200);
  const [playedMs, atMs] = await toldAtMs;
  assert.equal(playedMs, 800);
  near(stage.heardMs, 800);
  near(atMs, 900, 3 * QUANTUM_MS);
  stage.checkNoClick();
  assert.deepEqual(stage.player.underruns, { count: 0, ms: 0 });
  assert.deepEqual([stage.player.playedMs, stage.player.leadMs], [800, 0]);
});

test('samples are given once they are there, before they are heard', () => {
  const stage = new Stage();
  stage.say(2);
  assert.deepEqual(stage.samples, [[0, 1920], [80, 1920]]);
});

test('the first frame waits for the second', async () => {
  const stage = new Stage();
  stage.say();
  await stage.run(30);
  assert.equal(stage.heardMs, 0);
  stage.say();
  await stage.run(2 * QUANTUM_MS);
  assert.ok(stage.heardMs > 0);
});

test('the first frame does not wait for long', async () => {
  const stage = new Stage();
  stage.say();
  await stage.run(80 + 2 * QUANTUM_MS);
  assert.ok(stage.heardMs > 0);
});

test('a single frame is heard when no more is to come', async () => {
  const stage = new Stage();
  stage.say();
  stage.player.end();
  await stage.run(100);
  near(stage.heardMs, 80);
});

test('what is heard and the lead add up to what came', async () => {
  const stage = new Stage({ latencyMs: 50 });
  stage.say(10);
  await stage.run(400);
  near(stage.player.playedMs, 350, 2 * QUANTUM_MS);
  assert.equal(stage.player.playedMs + stage.player.leadMs, 800);
});

test('what was heard is told about once a second', async () => {
  const stage = new Stage();
  stage.say(40);
  stage.player.end();
  await stage.run(3300);
  assert.equal(stage.played.length, 4);
  [1000, 2000, 3000].forEach((ms, n) => near(stage.played[n], ms, 20 * (n + 2)));
  assert.equal(stage.played[3], 3200);
});

test('frames that come at the pace of speech are heard without a gap', async () => {
  const stage = new Stage();
  await stage.speak(30);
  stage.checkNoClick();
  assert.deepEqual(stage.player.underruns, { count: 0, ms: 0 });
  assert.ok(stage.player.jitterMs < 80);
});

test('a gap is faded, counted, told, and makes the next delay longer', async () => {
  const stage = new Stage();
  stage.say(3);
  await stage.run(500);
  assert.deepEqual(stage.gaps, [], 'nobody knows yet whether it is over');
  stage.say(10);
  await stage.run(100);
  assert.equal(stage.gaps.length, 1);
  near(stage.gaps[0], 260, 2 * QUANTUM_MS);
  assert.equal(stage.player.underruns.count, 1);
  assert.equal(stage.player.jitterMs, 300);
  stage.checkNoClick();
  near(stage.played[0], 240);
});

test('where the text was over there is no gap, and nothing to learn', async () => {
  const stage = new Stage();
  stage.say(3);
  stage.endPiece();
  await stage.run(2000);
  stage.say(10);
  await stage.run(100);
  assert.deepEqual([stage.player.underruns.count, stage.gaps.length], [0, 0]);
  assert.ok(stage.player.jitterMs <= 80);
});

test('a gap at the very end is none', async () => {
  const stage = new Stage();
  stage.say(3);
  await stage.run(500);
  stage.player.end();
  await stage.run(20);
  assert.equal(await stage.player.finished, 240);
  assert.equal(stage.player.underruns.count, 0);
});

test('streams of one output learn from each other', async () => {
  const jitter = new Jitter();
  const stage = new Stage({ jitter });
  stage.say();
  await stage.run(300);
  stage.say();
  assert.ok(new Stage({ jitter }).player.jitterMs > 200);
});

test('a pause fades, keeps its place, and is no gap', async () => {
  const stage = new Stage();
  stage.say(20);
  await stage.run(400);
  stage.player.pause();
  stage.player.pause();
  assert.equal(stage.player.paused, true);
  await stage.run(500);
  const { playedMs } = stage.player;
  near(playedMs, 408, 2 * QUANTUM_MS);
  assert.deepEqual(stage.thread.out.slice(-4800), Array(4800).fill(0));
  near(stage.played.at(-1), playedMs, 1);
  stage.player.resume();
  stage.player.resume();
  stage.player.end();
  await stage.run(1400);
  assert.equal(await stage.player.finished, 1600);
  near(stage.heardMs, 1600);
  stage.checkNoClick();
  assert.equal(stage.player.underruns.count, 0);
});

test('what comes in a pause waits for its end', async () => {
  const stage = new Stage();
  stage.player.pause();
  stage.say(10);
  await stage.run(300);
  assert.equal(stage.heardMs, 0);
  stage.player.resume();
  await stage.run(100);
  assert.ok(stage.heardMs > 80);
});

test('a pause where it was dry goes on when there is something', async () => {
  const stage = new Stage();
  stage.say(3);
  await stage.run(500);
  stage.player.pause();
  await stage.run(100);
  stage.player.resume();
  await stage.run(100);
  stage.say(3);
  stage.player.end();
  await stage.run(400);
  assert.equal(await stage.player.finished, 480);
  assert.equal(stage.player.underruns.count, 0);
});

test('a resume that finds nothing left waits for more', async () => {
  const stage = new Stage();
  stage.say(2);
  await stage.run(155);
  stage.player.pause();
  await stage.run(50);
  stage.player.resume();
  await stage.run(50);
  stage.say(3);
  stage.player.end();
  await stage.run(500);
  assert.equal(await stage.player.finished, 400);
});

test('stop is silent within 20 ms, without a click, and tells what was heard', async () => {
  const stage = new Stage({ latencyMs: 200 });
  stage.say(20);
  await stage.run(500);
  const playedMs = stage.player.stop();
  const at = stage.thread.out.length;
  await stage.run(300);
  near(playedMs, 500, 2 * QUANTUM_MS); // what is on its way to the ear will be heard
  assert.ok(stage.thread.out.slice(at + 20 * 24).every((sample) => sample === 0));
  stage.checkNoClick();
  near(await stage.player.finished, playedMs, 1);
  near(stage.played.at(-1), playedMs, 1);
  near(stage.player.playedMs, playedMs, 20);
  assert.equal(stage.player.leadMs, 0);
});

test('after a stop nothing is heard any more', async () => {
  const stage = new Stage();
  stage.player.stop();
  stage.say(5);
  stage.player.pause();
  stage.player.resume();
  stage.player.end();
  await stage.run(300);
  assert.deepEqual([stage.heardMs, stage.player.stop(), await stage.player.finished], [0, 0, 0]);
});

test('after an end no more is taken', async () => {
  const stage = new Stage();
  stage.say(2);
  stage.player.play({ type: 'done', context_id: 'a', seq: 9, duration_ms: 160 });
  stage.say(5);
  await stage.run(300);
  assert.equal(await stage.player.finished, 160);
});

test('a cancelled stream is over', async () => {
  const stage = new Stage();
  stage.say();
  const times = { duration_ms: 80, generated_ms: 80 };
  stage.player.play({ type: 'cancelled', context_id: 'a', seq: 9, ...times, heard_chars: 0, heard_text: '', unheard_text: '' });
  await stage.run(200);
  assert.equal(await stage.player.finished, 80);
});

test('what is left of the last frame is not heard behind a stop', async () => {
  const stage = new Stage({ rateHz: 48_000 }); // so that some of it waits for more
  stage.say(2);
  stage.player.end();
  const came = stage.samples.length;
  stage.player.stop();
  await stage.run(100);
  assert.equal(stage.samples.length, came);
});

test('an end of nothing is heard at once', async () => {
  const stage = new Stage();
  stage.player.end();
  await stage.run(20);
  assert.equal(await stage.player.finished, 0);
});

test('a stop that overtakes the end of the last packet ends it', async () => {
  const stage = new Stage();
  stage.say(2);
  stage.player.end();
  stage.player.stop();
  await stage.run(100);
  assert.equal(stage.heardMs, 0);
});

test('what was heard may be heard again from where it was', async () => {
  const stage = new Stage();
  stage.player.play({ samples: new Float32Array(24_000).fill(LOUD), start_ms: 4000 });
  stage.player.end();
  await stage.run(500);
  near(stage.player.playedMs, 4500, 2 * QUANTUM_MS);
  assert.deepEqual(stage.played, [], 'not a second yet');
  await stage.run(700);
  assert.equal(await stage.player.finished, 5000);
});

test('where nothing can be decoded whoever waits is told', async () => {
  const stage = new Stage();
  Object.assign(globalThis, { AudioDecoder, EncodedAudioChunk });
  for (let n = 0; n < 6; n++) stage.player.play(opusFrame(n, DAMAGED));
  await assert.rejects(stage.player.finished, /format: 'pcm'/);
});

/** A context that says all its events at once. */
class Speech {
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
      this.left = true;
    }
  }
}

const frames = (count) => Array.from({ length: count }, (_, n) => pcmFrame(n));

test('all of a context is played, and the server told what was heard', async () => {
  const stage = new Stage();
  const speech = new Speech(...frames(20), { type: 'done', context_id: 'a', seq: 20, duration_ms: 1600 });
  const heard = stage.player.playAll(/** @type {any} */ (speech));
  await stage.run(2000);
  assert.equal(await heard, 1600);
  assert.deepEqual(speech.acked, stage.played);
  assert.equal(speech.acked.at(-1), 1600);
});

test('a context that fails is heard as far as it came', async () => {
  const stage = new Stage();
  const failed = stage.player.playAll(/** @type {any} */ (new Speech(...frames(5), new Error('gone'))));
  await assert.rejects(failed, /gone/);
  await stage.run(600);
  assert.equal(await stage.player.finished, 400);
});

test('a stop leaves the context', async () => {
  const stage = new Stage();
  const speech = new Speech(...frames(5));
  const heard = stage.player.playAll(/** @type {any} */ (speech));
  stage.player.stop();
  assert.equal(await heard, 0);
  assert.equal(speech.left, true);
});
