import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ExclusivePlayback } from '../../web/playback/exclusive_playback.js';
import { BUCKET_MS, Recording } from '../../web/playback/recording.js';
import { Replay } from '../../web/playback/replay.js';
import { SpeechRequest } from '../../web/playback/speech_request.js';
import { SpeedMeter } from '../../web/playback/speed_meter.js';
import { labels, Timeline } from '../../web/playback/timeline.js';
import { TimeSeries } from '../../web/view/graph.js';
import { bars } from '../../web/view/waveform.js';

const RATE_HZ = 1000; // a sample for each millisecond

const samples = (count, value = 0.5) => new Float32Array(count).fill(value);

test('a recording returns its samples from any position', () => {
  const recording = new Recording(RATE_HZ);
  recording.add(samples(100, 0.25), 0);
  recording.add(samples(100, -0.5), 100);
  assert.equal(recording.durationMs, 200);
  const rest = recording.from(150);
  assert.equal(rest.length, 50);
  assert.ok(rest.every((sample) => Math.abs(sample + 0.5) < 0.001));
});

test('peaks do not depend on how the samples are split', () => {
  const [whole, pieces] = [new Recording(RATE_HZ), new Recording(RATE_HZ)];
  const sound = Float32Array.from({ length: 137 }, (_, n) => (n % 2 ? -1 : 1) * (n / 200));
  whole.add(sound, 0);
  for (let at = 0; at < sound.length; at += 7) pieces.add(sound.subarray(at, at + 7), at);
  assert.deepEqual(pieces.peaks, whole.peaks);
  assert.equal(whole.peaks.length, Math.ceil(137 / BUCKET_MS));
  assert.ok(whole.peaks.every((peak, n) => n === 0 || peak > whole.peaks[n - 1]));
});

test('a long recording limits its samples but keeps all peaks', () => {
  const recording = new Recording(RATE_HZ);
  recording.add(samples(600_000), 0);
  recording.add(samples(1_000), 600_000);
  assert.equal(recording.peaks.length, 601_000 / BUCKET_MS);
  assert.equal(recording.from(600_000).length, 0);
});

test('bars keep their place in time and a minimum width', () => {
  const peaks = Array.from({ length: 1000 }, (_, n) => n / 1000);
  for (const spanMs of [4000, 20_000, 60_000]) {
    const { stepMs, loudness } = bars(peaks, spanMs, 600);
    assert.ok((stepMs * 600) / spanMs >= 4);
    assert.equal(Math.log2(stepMs / BUCKET_MS) % 1, 0);
    assert.equal(loudness.length, Math.ceil((peaks.length * BUCKET_MS) / stepMs));
    assert.equal(loudness[1], peaks[(2 * stepMs) / BUCKET_MS - 1]);
  }
});

test('the speed meter measures only the beginning', () => {
  let nowMs = 1000;
  const meter = new SpeedMeter(() => nowMs);
  assert.equal(meter.realTimeFactor(40), null);
  for (let n = 0; n < 6; n++) {
    meter.addAudio(80);
    nowMs += 10;
  }
  nowMs += 5000;
  meter.addAudio(80);
  assert.equal(meter.realTimeFactor(46), 480 / (46 + 50));
});

test('a time series drops old points', () => {
  const series = new TimeSeries(100);
  for (let atMs = 0; atMs <= 300; atMs += 50) series.add(atMs, 300 - atMs, null);
  assert.deepEqual(series.points.map(({ atMs }) => atMs), [200, 250, 300]);
  assert.equal(series.max, 100);
  series.clear();
  assert.equal(series.max, 0);
});

// Timeline

test('tokens are timed from the first one and joined to words', () => {
  const timeline = new Timeline();
  ['Good', ' morn', 'ing', ','].forEach((token, n) => timeline.addToken(token, 1000 + 50 * n));
  assert.deepEqual(timeline.tokens.map(({ atMs }) => atMs), [0, 50, 100, 150]);
  assert.deepEqual(timeline.written, [{ atMs: 0, text: 'Good' }, { atMs: 50, text: ' morning,' }]);
  assert.equal(timeline.endMs, 150);
  assert.equal(timeline.overlap, null);
});

test('sounds become spans, and a pause of the user leaves a gap', () => {
  const timeline = new Timeline();
  timeline.addToken('Hi', 0);
  const heard = [['speech', 10], ['speech', 30], ['pause', 30], [null, 30], [null, 30], ['speech', 30], ['underrun', 50]];
  heard.forEach(([sound, playedMs], n) => timeline.addSound(sound, playedMs, 100 + 20 * n));
  assert.deepEqual(
    timeline.spans.map(({ sound, fromMs, toMs }) => [sound, fromMs, toMs]),
    [['speech', 100, 140], ['pause', 140, 160], ['speech', 200, 220], ['underrun', 220, 220]],
  );
  assert.equal(timeline.spanAt(170), undefined);
  const span = timeline.spanAt(110);
  assert.deepEqual([span.sound, Timeline.playedMs(span, 120)], ['speech', 20]);
  timeline.addToken(' there', 190);
  assert.deepEqual(timeline.overlap, { fromMs: 100, toMs: 190 });
});

test('words are noted when they begin', () => {
  const timeline = new Timeline();
  timeline.addToken('One two', 0);
  const words = [{ text: 'One', start_ms: 0 }, { text: 'two', start_ms: 80 }];
  for (const playedMs of [0, 40, 80, 120]) timeline.addWords(words, playedMs, 500 + playedMs);
  assert.deepEqual(timeline.words, [{ atMs: 540, text: 'One' }, { atMs: 620, text: 'two' }]);
});

test('labels that would cover each other are left out', () => {
  const marks = [[0, 'one'], [10, ' two'], [20, ' '], [50, 'three']].map(([atMs, text]) => ({ atMs, text }));
  const shown = labels(marks, (atMs) => atMs, (text) => 10 * text.length, 5);
  assert.deepEqual(shown, [{ at: 0, label: 'one' }, { at: 50, label: 'three' }]);
});

// ExclusivePlayback

class FakePlayable {
  phase = 'speaking';
  finished = new Promise((over) => (this.end = over));
  get isOver() {
    return this.phase !== 'speaking';
  }
  async stop() {
    this.phase = 'stopped';
    this.end();
    return this;
  }
}

const start = (playback, playable) => playback.start(Promise.resolve(), () => ({ playable, finished: playable.finished }));
const settled = () => new Promise((next) => setImmediate(next));

test('starting playback stops the current one', async () => {
  const [playback, first, second] = [new ExclusivePlayback(), new FakePlayable(), new FakePlayable()];
  const before = start(playback, first);
  await settled();
  assert.equal(playback.current, first);
  const after = start(playback, second);
  assert.equal(await before, null);
  await settled();
  assert.equal(first.phase, 'stopped');
  assert.equal(playback.current, second);
  second.end();
  assert.equal(await after, second);
  assert.equal(playback.current, null);
});

test('of two starts in a row only the second one plays', async () => {
  const [playback, first, second] = [new ExclusivePlayback(), new FakePlayable(), new FakePlayable()];
  const [early] = [start(playback, first), start(playback, second)];
  assert.equal(await early, null);
  await settled();
  assert.equal(playback.current, second);
});

test('an output that fails to open leaves nothing playing', async () => {
  const playback = new ExclusivePlayback();
  await assert.rejects(playback.start(Promise.reject(new Error('no sound')), () => assert.fail()), /no sound/);
  assert.equal(playback.current, null);
});

// A speech

class FakeOutput {
  player(listener) {
    this.listener = listener;
    return Object.assign(this, { playedMs: 0, leadMs: 0, underruns: { count: 0, ms: 0 }, played: [], calls: [] });
  }
  finished = new Promise((over) => (this.over = over));
  play(event) {
    this.played.push(event);
  }
  end = () => this.calls.push('end');
  pause = () => this.calls.push('pause');
  resume = () => this.calls.push('resume');
  stop() {
    this.calls.push('stop');
    this.over();
    return 320;
  }
}

class FakeContext {
  place = null;
  over = false;
  acks = [];
  constructor(events) {
    this.events = events;
  }
  feed(text) {
    this.fed = (async () => {
      let all = '';
      for await (const piece of text) all += piece;
      return all;
    })();
  }
  ack(ms) {
    this.acks.push(ms);
  }
  async cancel(playedMs) {
    return { played_ms: playedMs };
  }
  async *[Symbol.asyncIterator]() {
    for (const event of this.events) {
      if (event instanceof Error) throw event;
      yield event;
    }
  }
}

const FRAME = { type: 'frame' };
const WORD = { type: 'word', text: 'One' };
const WORD_END = { type: 'word_end', end_ms: 60 };

test('a speech request plays all events and reports words and text', async () => {
  const [output, words, pieces] = [new FakeOutput(), [], []];
  const context = new FakeContext([WORD, WORD_END, FRAME, { type: 'segment', end_char: 3 }, { type: 'done' }]);
  const append = (each) => words.push(each);
  const speech = new SpeechRequest(context, output, 80, { onWord: append, onWordEnd: append, onText: (each) => pieces.push(each) });
  const running = speech.run(['One', ' two']);
  assert.equal(await context.fed, 'One two');
  assert.equal(speech.isTextSent, true);
  output.listener.onPlayed(1000);
  output.over();
  await running;
  assert.deepEqual(output.played.map(({ type }) => type), ['word', 'word_end', 'frame', 'segment', 'done']);
  assert.deepEqual([words, pieces, context.acks], [[WORD, WORD_END], ['One', ' two'], [1000]]);
  assert.deepEqual([speech.phase, speech.stopwatch.speechMs], ['done', 80]);
});

test('a stall is a pause of the writer only at the end of a segment, while text is still to come', async () => {
  const output = new FakeOutput();
  const speech = new SpeechRequest(new FakeContext([FRAME, { type: 'segment', end_char: 3, end_ms: 80 }]), output, 80);
  speech.run(['One']);
  await settled();
  speech.isTextSent = false; // as if the writer went on
  const stall = (playedMs, leadMs = 0) => Object.assign(output, { playedMs, leadMs }) && speech.stall;
  assert.deepEqual([stall(0), stall(40, 40), stall(40), stall(75)], [null, null, 'underrun', 'pause']);
  speech.isTextSent = true;
  assert.equal(stall(75), 'underrun');
});

test('a request keeps the warnings of its end', async () => {
  const output = new FakeOutput();
  const speech = new SpeechRequest(new FakeContext([{ type: 'done', warnings: ['no Thai'] }]), output, 80);
  const running = speech.run([]);
  output.over();
  await running;
  assert.deepEqual(speech.warnings, ['no Thai']);
});

test('a stopped request is silent at once and returns what was heard', async () => {
  const output = new FakeOutput();
  const speech = new SpeechRequest(new FakeContext([FRAME]), output, 80);
  const running = speech.run([]);
  await settled();
  speech.pause();
  assert.deepEqual(await speech.stop(), { playedMs: 320, cancelled: { played_ms: 320 } });
  await running;
  assert.deepEqual([speech.phase, output.calls], ['stopped', ['pause', 'stop']]);
});

test('a stopped request is over at once even if the server does not answer', async () => {
  const [output, context] = [new FakeOutput(), new FakeContext([])];
  context[Symbol.asyncIterator] = async function* () {
    await new Promise(() => {});
  };
  context.cancel = () => new Promise(() => {});
  const speech = new SpeechRequest(context, output, 80);
  const running = speech.run(['One']);
  speech.stop();
  await running;
  assert.equal(speech.phase, 'stopped');
});

test('a request can be paused and resumed, but not before it speaks', async () => {
  const output = new FakeOutput();
  const speech = new SpeechRequest(new FakeContext([FRAME]), output, 80);
  assert.throws(() => speech.pause(), /from waiting to paused/);
  speech.run([]);
  await settled();
  speech.pause();
  speech.resume();
  assert.deepEqual([speech.phase, output.calls], ['speaking', ['pause', 'resume']]);
});

test('a failed request is silent and rejects', async () => {
  const output = new FakeOutput();
  const speech = new SpeechRequest(new FakeContext([FRAME, new Error('gone')]), output, 80);
  await assert.rejects(speech.run([]), /gone/);
  assert.deepEqual([speech.phase, output.calls], ['failed', ['stop']]);
});

test('a replay plays the recording from a position', async () => {
  const [output, recording] = [new FakeOutput(), new Recording(RATE_HZ)];
  recording.add(samples(100), 0);
  const replay = new Replay(output, recording, 40);
  assert.deepEqual(output.played.map(({ samples: { length }, start_ms }) => [length, start_ms]), [[60, 40]]);
  const running = replay.run();
  replay.pause();
  assert.equal(replay.phase, 'paused');
  replay.resume();
  output.over();
  await running;
  assert.deepEqual([replay.phase, replay.isOver, output.calls], ['done', true, ['end', 'pause', 'resume']]);
});
