import assert from 'node:assert/strict';
import { test } from 'node:test';

import { curl, javascript, python } from '../../web/copy_as.js';
import { fileName } from '../../web/downloads.js';
import { clock, failed, happening, inLine, stopped } from '../../web/telling.js';
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
