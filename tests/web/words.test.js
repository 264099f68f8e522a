import assert from 'node:assert/strict';
import { test } from 'node:test';

import { curl, javascript, python } from '../../web/copy_as.js';
import { fileName } from '../../web/downloads.js';
import { webVtt } from '../../web/subtitles.js';
import { clock, failed, happening, inLine, stopped, when } from '../../web/telling.js';
import { WordTimes } from '../../web/word_times.js';
import { likeAnLlm, tokens } from '../../web/writing.js';
import { places } from '../../web/places.js';

const ORDER = { url: 'http://127.0.0.1:8000', text: 'Hi.', voice: 'clara', wish: { seed: 7 }, isKeyed: false };
const TALK = { phase: 'speaking', place: null, isDry: false, isWritten: true, dry: { count: 0, ms: 0 } };

test('tokens put together are the text, and no character is cut in two', () => {
  for (const text of ['', ' ', 'a', ' Hello,\n  wonderful world! ', '🙂🙂🙂🙂🙂🙂🙂🙂 ünglaublich', 'x '.repeat(50)]) {
    assert.equal(tokens(text).join(''), text);
    for (const token of tokens(text)) assert.ok(token.isWellFormed?.() ?? true);
  }
});

test('a language model writes a token at a time, as fast as it is asked to just then', async () => {
  const waits = [];
  let perS = 10;
  const pieces = [];
  for await (const piece of likeAnLlm('One two three', () => perS, async (ms) => waits.push(ms))) {
    pieces.push(piece);
    perS = 20;
  }
  assert.deepEqual(pieces, ['One', ' two', ' three']);
  assert.deepEqual(waits, [50, 50, 50]);
});

test('a place in line is told as people say it', () => {
  const told = [1, 2, 3, 4, 11, 21, 112].map((place) => inLine(place).match(/\d+\w+/)[0]);
  assert.deepEqual(told, ['1st', '2nd', '3rd', '4th', '11th', '21st', '112th']);
});

test('times are told in minutes, seconds and tenths', () => {
  assert.deepEqual([0, -5, 990, 61_240, 600_000].map(clock), ['0:00.0', '0:00.0', '0:01.0', '1:01.2', '10:00.0']);
});

test('a stop tells how many words had been heard', () => {
  const told = stopped(1250, { heard_text: 'One two', unheard_text: ' three.' });
  assert.equal(told, 'Stopped after 1.3 s: 2 of 3 words had been heard.');
});

test('a fault is a sentence, and says when to try again', () => {
  assert.equal(failed({ message: 'all are speaking', retryAfterMs: 1200 }), 'All are speaking. Try again in 2 s.');
  assert.equal(failed({ message: 'Who?' }), 'Who?');
});

test('what happens is told, the worst first', () => {
  const told = (change, news = null) => happening({ ...TALK, ...change }, news).message;
  assert.match(told({ isDry: true }, 'lost'), /connection is lost/);
  assert.match(told({}, 'back'), /Connected again/);
  assert.match(told({ phase: 'paused', isDry: true }), /Paused/);
  assert.match(told({ phase: 'waiting', place: 2 }), /2nd in line/);
  assert.match(told({ phase: 'waiting' }), /first sound/);
  assert.match(told({ isDry: true, isWritten: false }), /more text/);
  assert.match(told({ isDry: true }), /network or the server is slow/);
  assert.match(told({ dry: { count: 1, ms: 400 } }), /once, for 0.4 s/);
  assert.equal(told({}), 'Speaking…');
});

test('a word is found by code points in a text that counts halves', () => {
  assert.deepEqual(places('a 🙂 bc', 4, 6), { start: 5, end: 7 });
  assert.deepEqual(places('a 🙂', 2, 3), { start: 2, end: 4 });
  assert.equal(places('ab', 1, 3), null);
  assert.equal(places('ab', -1, 1), null);
  assert.equal(places('ab', 1, 1), null);
});

// When words are spoken

/** Of a speech that is told whole: `[text, start_ms, end_ms]`, true unless they are estimated. */
function told(times, estimated = false) {
  const words = new WordTimes();
  let at = 0;
  for (const [text, start_ms, end_ms] of times) {
    const place = { start_char: at, end_char: at + [...text].length };
    words.tell({ type: 'word', text, spoken: text, ...place, start_ms, end_ms: start_ms + 100, estimated });
    if (!estimated) words.tellEnd({ type: 'word_end', ...place, start_ms, end_ms });
    at = place.end_char + 1;
  }
  return words;
}

/** The same numbers each time. */
function* chance() {
  for (let state = 1; ; state = (state * 48_271) % 2_147_483_647) yield state / 2_147_483_647;
}

test('at any moment the word that is spoken is the one, and in a pause there is none', () => {
  const numbers = chance();
  const upTo = (most) => Math.floor(numbers.next().value * (most + 1));
  for (let speech = 0; speech < 50; speech++) {
    let ms = upTo(200);
    const times = Array.from({ length: upTo(8) }, (_, n) => {
      const start_ms = ms + upTo(1) * upTo(300); // most follow at once
      ms = start_ms + upTo(3) * upTo(200); // some have no length: the model left them out
      return [`word${n}`, start_ms, ms];
    });
    const [exact, estimated] = [told(times), told(times, true)];
    for (let playedMs = 0; playedMs <= ms + 100; playedMs++) {
      const spoken = times.flatMap(([, start, end], n) => (start < playedMs && playedMs <= end ? [n] : []));
      assert.ok(spoken.length <= 1);
      assert.equal(exact.spoken(playedMs), spoken[0] ?? -1, `${JSON.stringify(times)} at ${playedMs} ms`);
      const begun = times.filter(([, start]) => start < playedMs).length;
      assert.deepEqual([exact.begun(playedMs), estimated.begun(playedMs)], [begun, begun]);
      assert.equal(estimated.spoken(playedMs), begun - 1);
    }
  }
});

test('a word is spoken until its true end is told, whatever was expected', () => {
  const words = told([['One', 0, 80]]);
  const place = { start_char: 4, end_char: 7, start_ms: 200 };
  words.tell({ type: 'word', text: 'two', spoken: 'two', ...place, end_ms: 300, estimated: false });
  assert.deepEqual([150, 250, 350].map((ms) => words.spoken(ms)), [-1, 1, 1]);
  words.tellEnd({ type: 'word_end', ...place, end_ms: 320 });
  assert.deepEqual([320, 321].map((ms) => words.spoken(ms)), [1, -1]);
});

test('the end of a word that is not shown is nobody else\'s', () => {
  const words = told([['One', 0, 80]]);
  words.tellEnd({ type: 'word_end', start_char: 4, end_char: 7, start_ms: 200, end_ms: 300 });
  new WordTimes().tellEnd({ type: 'word_end', start_char: 4, end_char: 7, start_ms: 200, end_ms: 300 });
  assert.equal(words.words[0].end_ms, 80);
});

test('when a word is heard is told, and whether that is estimated', () => {
  assert.equal(when({ start_ms: 480, end_ms: 1822.5, estimated: false }), '0.48 to 1.82 s');
  assert.equal(when({ start_ms: 0, end_ms: 90, estimated: true }), '0.00 to 0.09 s, estimated');
});

test('subtitles are sentences with the moments of their words, and end where these end', () => {
  const { words } = told([['R&D', 0, 80], ['<one>', 100.4, 380], ['two.', 400, 499.6], ['More', 3_723_004, 3_723_010]]);
  assert.equal(
    webVtt(words),
    `WEBVTT

00:00:00.000 --> 00:00:00.500
R&amp;D <00:00:00.100>&lt;one&gt; <00:00:00.400>two.

01:02:03.004 --> 01:02:03.010
More
`,
  );
});

test('subtitles say that they are estimated, and break a long sentence between words', () => {
  const times = Array.from({ length: 40 }, (_, n) => [`word${n}`, 100 * n, 100 * n + 90]);
  const [head, note, ...cues] = webVtt(told(times, true).words).trim().split('\n\n');
  assert.deepEqual([head, note], ['WEBVTT', 'NOTE Some of these times are estimated.']);
  const lines = cues.map((cue) => cue.split('\n')[1].replace(/<[^>]*>/g, ''));
  assert.ok(lines.every((line) => line.length <= 42));
  assert.equal(lines.join(' '), times.map(([text]) => text).join(' '));
});

test('a subtitle without length is seen all the same', () => {
  assert.match(webVtt(told([['One', 80, 80]]).words), /00:00:00.080 --> 00:00:00.081\nOne/);
  assert.equal(webVtt([]), 'WEBVTT\n');
});

test('a file is called by the first words of its text', () => {
  assert.equal(fileName('Hello! This is it.', 'wav'), 'hello-this-is-it.wav');
  assert.equal(fileName('…', 'mp3'), 'speech.mp3');
  assert.equal(fileName('Grüße aus Köln', 'opus'), 'grüße-aus-köln.opus');
  assert.ok(fileName('word '.repeat(100), 'wav').length < 50);
});

test('a program has the wish in it, by its language\'s names', () => {
  const wish = { seed: 7, speed: 1.5, temperature: undefined, decodeSteps: 4 };
  assert.match(python({ ...ORDER, wish }), /context\(voice="clara", seed=7, speed=1.5, decode_steps=4, format="pcm"\)/);
  assert.match(javascript({ ...ORDER, wish }), /\{ voice: 'clara', seed: 7, speed: 1.5, decodeSteps: 4, format: 'pcm' \}/);
  assert.match(curl({ ...ORDER, wish }), /"seed":7,"speed":1.5,"decode_steps":4\}'/);
});

test('a program asks for a key where the server does, and never has it in it', () => {
  const keyed = { ...ORDER, isKeyed: true };
  assert.match(python(keyed), /api_key=os.environ\["SAYLINE_API_KEY"\]/);
  assert.match(javascript(keyed), /apiKey: process.env.SAYLINE_API_KEY/);
  assert.match(curl(keyed), /Bearer \$SAYLINE_API_KEY/);
  for (const program of [python, javascript, curl]) assert.doesNotMatch(program(ORDER), /KEY/);
});
