import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bars } from '../../web/bars.js';
import { Floor } from '../../web/floor.js';
import { Pace } from '../../web/pace.js';
import { BUCKET_MS, Recording } from '../../web/recording.js';
import { Replay } from '../../web/replay.js';
import { Talk } from '../../web/talk.js';
import { Trace } from '../../web/trace.js';

const RATE_HZ = 1000; // a sample for each millisecond

const samples = (count, value = 0.5) => new Float32Array(count).fill(value);

test('a recording gives what was added, from any place on', () => {
  const recording = new Recording(RATE_HZ);
  recording.add(samples(100, 0.25), 0);
  recording.add(samples(100, -0.5), 100);
  assert.equal(recording.durationMs, 200);
  const rest = recording.from(150);
  assert.equal(rest.length, 50);
  assert.ok(rest.every((sample) => Math.abs(sample + 0.5) < 0.001));
});

test('a recording knows how loud each moment is, whatever it came in', () => {
  const [whole, pieces] = [new Recording(RATE_HZ), new Recording(RATE_HZ)];
  const sound = Float32Array.from({ length: 137 }, (_, n) => (n % 2 ? -1 : 1) * (n / 200));
  whole.add(sound, 0);
  for (let at = 0; at < sound.length; at += 7) pieces.add(sound.subarray(at, at + 7), at);
  assert.deepEqual(pieces.peaks, whole.peaks);
  assert.equal(whole.peaks.length, Math.ceil(137 / BUCKET_MS));
  assert.ok(whole.peaks.every((peak, n) => n === 0 || peak > whole.peaks[n - 1]));
});

test('a recording of an hour keeps no more than it says, but knows how loud all of it was', () => {
  const recording = new Recording(RATE_HZ);
  recording.add(samples(600_000), 0);
  recording.add(samples(1_000), 600_000);
  assert.equal(recording.peaks.length, 601_000 / BUCKET_MS);
  assert.equal(recording.from(600_000).length, 0);
});

test('bars stay where they are in time, and are never too thin to be seen', () => {
  const peaks = Array.from({ length: 1000 }, (_, n) => n / 1000);
  for (const spanMs of [4000, 20_000, 60_000]) {
    const { stepMs, loudness } = bars(peaks, spanMs, 600);
    assert.ok((stepMs * 600) / spanMs >= 4);
    assert.equal(Math.log2(stepMs / BUCKET_MS) % 1, 0);
    assert.equal(loudness.length, Math.ceil((peaks.length * BUCKET_MS) / stepMs));
    assert.equal(loudness[1], peaks[(2 * stepMs) / BUCKET_MS - 1]);
  }
});

test('the pace is that of the beginning alone', () => {
  let nowMs = 1000;
  const pace = new Pace(() => nowMs);
  assert.equal(pace.timesRealTime(40), null);
  for (let n = 0; n < 6; n++) {
    pace.heard(80);
    nowMs += 10;
  }
  nowMs += 5000;
  pace.heard(80);
  assert.equal(pace.timesRealTime(46), 480 / (46 + 50));
});

test('a trace forgets what is old', () => {
  const trace = new Trace(100);
  for (let atMs = 0; atMs <= 300; atMs += 50) trace.add(atMs, 300 - atMs, false);
  assert.deepEqual(trace.points.map(({ atMs }) => atMs), [200, 250, 300]);
  assert.equal(trace.largest, 100);
  trace.clear();
  assert.equal(trace.largest, 0);
});

// Who is heard

class Act {
  phase = 'speaking';
  heard = new Promise((over) => (this.end = over));
  get isOver() {
    return this.phase !== 'speaking';
  }
  async stop() {
    this.phase = 'stopped';
    this.end();
    return this;
  }
}

const taking = (floor, act) => floor.take(Promise.resolve(), () => ({ act, heard: act.heard }));
const settled = () => new Promise((next) => setImmediate(next));

test('who takes the floor stops the one who has it', async () => {
  const [floor, first, second] = [new Floor(), new Act(), new Act()];
  const before = taking(floor, first);
  await settled();
  assert.equal(floor.act, first);
  const after = taking(floor, second);
  assert.equal(await before, null);
  await settled();
  assert.equal(first.phase, 'stopped');
  assert.equal(floor.act, second);
  second.end();
  assert.equal(await after, second);
  assert.equal(floor.act, null);
});

test('of two who want the floor at once the later one has it, and the other never begins', async () => {
  const [floor, first, second] = [new Floor(), new Act(), new Act()];
  const [early] = [taking(floor, first), taking(floor, second)];
  assert.equal(await early, null);
  await settled();
  assert.equal(floor.act, second);
});

test('a sound that cannot be opened leaves the floor free', async () => {
  const floor = new Floor();
  await assert.rejects(floor.take(Promise.reject(new Error('no sound')), () => assert.fail()), /no sound/);
  assert.equal(floor.act, null);
});

// A talk

class Output {
  player(listener) {
    this.listener = listener;
    return Object.assign(this, { playedMs: 0, leadMs: 0, underruns: { count: 0, ms: 0 }, played: [], did: [] });
  }
  finished = new Promise((over) => (this.over = over));
  play(event) {
    this.played.push(event);
  }
  end = () => this.did.push('end');
  pause = () => this.did.push('pause');
  resume = () => this.did.push('resume');
  stop() {
    this.did.push('stop');
    this.over();
    return 320;
  }
}

class Speech {
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

test('a talk plays all that comes and tells of words and text', async () => {
  const [output, words, written] = [new Output(), [], []];
  const speech = new Speech([WORD, WORD_END, FRAME, { type: 'segment', end_char: 3 }, { type: 'done' }]);
  const note = (each) => words.push(each);
  const talk = new Talk(speech, output, 80, { word: note, wordEnd: note, written: (each) => written.push(each) });
  const running = talk.run(['One', ' two']);
  assert.equal(await speech.fed, 'One two');
  assert.equal(talk.isWritten, true);
  output.listener.onPlayed(1000);
  output.over();
  await running;
  assert.deepEqual(output.played.map(({ type }) => type), ['word', 'word_end', 'frame', 'segment', 'done']);
  assert.deepEqual([words, written, speech.acks], [[WORD, WORD_END], ['One', ' two'], [1000]]);
  assert.deepEqual([talk.phase, talk.stopwatch.speechMs], ['done', 80]);
});

test('a talk that is stopped is silent at once and tells what was heard', async () => {
  const output = new Output();
  const talk = new Talk(new Speech([FRAME]), output, 80);
  const running = talk.run([]);
  await settled();
  talk.pause();
  assert.deepEqual(await talk.stop(), { playedMs: 320, cancelled: { played_ms: 320 } });
  await running;
  assert.deepEqual([talk.phase, output.did], ['stopped', ['pause', 'stop']]);
});

test('a talk that is stopped is over at once, though its server does not answer', async () => {
  const [output, speech] = [new Output(), new Speech([])];
  speech[Symbol.asyncIterator] = async function* () {
    await new Promise(() => {});
  };
  speech.cancel = () => new Promise(() => {});
  const talk = new Talk(speech, output, 80);
  const running = talk.run(['One']);
  talk.stop();
  await running;
  assert.equal(talk.phase, 'stopped');
});

test('a talk is held and goes on, and cannot be held before it is heard', async () => {
  const output = new Output();
  const talk = new Talk(new Speech([FRAME]), output, 80);
  assert.throws(() => talk.pause(), /waiting cannot be paused/);
  talk.run([]);
  await settled();
  talk.pause();
  talk.resume();
  assert.deepEqual([talk.phase, output.did], ['speaking', ['pause', 'resume']]);
});

test('a talk that fails is silent, and its fault comes out', async () => {
  const output = new Output();
  const talk = new Talk(new Speech([FRAME, new Error('gone')]), output, 80);
  await assert.rejects(talk.run([]), /gone/);
  assert.deepEqual([talk.phase, output.did], ['failed', ['stop']]);
});

test('what is heard again comes from the recording', async () => {
  const [output, recording] = [new Output(), new Recording(RATE_HZ)];
  recording.add(samples(100), 0);
  const replay = new Replay(output, recording, 40);
  assert.deepEqual(output.played.map(({ samples: { length }, start_ms }) => [length, start_ms]), [[60, 40]]);
  const running = replay.run();
  replay.pause();
  assert.equal(replay.phase, 'paused');
  replay.resume();
  output.over();
  await running;
  assert.deepEqual([replay.phase, replay.isOver, output.did], ['done', true, ['end', 'pause', 'resume']]);
});
