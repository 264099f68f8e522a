import assert from 'node:assert/strict';
import { test } from 'node:test';

import { simulateLlm, tokenize } from '../../web/playback/llm_simulator.js';
import { webVtt } from '../../web/playback/subtitles.js';
import { WordTimes } from '../../web/playback/word_times.js';
import {
  doneText, errorText, formatClock, queueText, saveErrorText, speechStatus, stoppedText, wordTimesText,
} from '../../web/status_text.js';
import { textOffsets } from '../../web/view/captions.js';
import { curl, javascript, openai, python } from '../../web/view/code_samples.js';
import { fileName } from '../../web/view/downloads.js';
import { startsText } from '../../web/view/multi_voice_demo.js';
import { factsText, loadText } from '../../web/view/server_facts.js';
import { overlapText } from '../../web/view/timeline_view.js';
import { describe } from '../../web/voices/voice_cards.js';

const REQUEST = { url: 'http://127.0.0.1:8000', text: 'Hi.', voice: 'clara', options: { seed: 7 }, needsKey: false };
const SPEECH = { phase: 'speaking', queuePosition: null, stall: null, underruns: { count: 0, ms: 0 } };

test('joined tokens are the text, and no character is split', () => {
  for (const text of ['', ' ', 'a', ' Hello,\n  wonderful world! ', '🙂🙂🙂🙂🙂🙂🙂🙂 ünglaublich', 'x '.repeat(50)]) {
    assert.equal(tokenize(text).join(''), text);
    for (const token of tokenize(text)) assert.ok(token.isWellFormed?.() ?? true);
  }
});

test('the LLM simulator yields tokens at the current rate', async () => {
  const waits = [];
  let perS = 10;
  const pieces = [];
  for await (const piece of simulateLlm('One two three', () => perS, async (ms) => waits.push(ms))) {
    pieces.push(piece);
    perS = 20;
  }
  assert.deepEqual(pieces, ['One', ' two', ' three']);
  assert.deepEqual(waits, [50, 50, 50]);
});

test('queue positions are ordinals', () => {
  const ordinals = [1, 2, 3, 4, 11, 21, 112].map((position) => queueText(position).match(/\d+\w+/)[0]);
  assert.deepEqual(ordinals, ['1st', '2nd', '3rd', '4th', '11th', '21st', '112th']);
});

test('clock times are minutes, seconds and tenths', () => {
  assert.deepEqual([0, -5, 990, 61_240, 600_000].map(formatClock), ['0:00.0', '0:00.0', '0:01.0', '1:01.2', '10:00.0']);
});

test('the stop message counts the heard words', () => {
  const text = stoppedText(1250, { heard_text: 'One two', unheard_text: ' three.' });
  assert.equal(text, 'Stopped after 1.3 s: 2 of 3 words were heard.');
});

test('an error message is a sentence with the retry time', () => {
  assert.equal(errorText({ message: 'all are speaking', retryAfterMs: 1200 }), 'All are speaking. Try again in 2 s.');
  assert.equal(errorText({ message: 'Why?' }), 'Why?');
  assert.equal(errorText({ message: 'busy; retry in 5 s', retryAfterMs: 5000 }), 'Busy; retry in 5 s.');
});

test('a lost server, a restart and a full server are told in plain words', () => {
  const text = (name, more = {}) => errorText({ name, message: 'for programmers', ...more });
  assert.equal(text('ConnectionLost', { closeCode: 1012 }), 'The server restarted. Press Speak to start again.');
  assert.match(text('ConnectionLost'), /^The connection to the server was lost\. Press Speak/);
  assert.match(text('NotRecovered'), /^The server restarted, and this speech was lost\./);
  assert.equal(text('Full', { retryAfterMs: 1200 }), 'All voices are busy. Try again in 2 s.');
  assert.equal(errorText({ name: 'Full', message: '', retryAfterMs: 1200 }, false), 'All voices are busy.');
});

test('a speech that is done tells which text was skipped', () => {
  assert.equal(doneText([]), 'Done. Click a word or the waveform to play it again.');
  assert.equal(doneText(['no Thai', 'no Greek']), 'Done, but not all of it was spoken: No Thai. No Greek.');
});

test('a text that is too long to save is told with its limit', () => {
  const message = 'text too long (25000 characters, limit 20000 per request); split it';
  assert.match(saveErrorText({ message, code: 'text_limit' }), /at most 20000 characters\. Save it in parts$/);
  assert.equal(saveErrorText({ message: 'all are speaking', code: 'full' }), 'all are speaking');
});

test('the header tells model, version and load', () => {
  assert.equal(factsText('embedded', 'sayline/0.1.0'), 'Model embedded · version 0.1.0');
  assert.equal(loadText({ speaking: 3, capacity: 98 }), '3 of 98 speaking');
  assert.equal(loadText({ speaking: 2, capacity: 1 }), '2 of 2 speaking');
  assert.equal(loadText({}), '');
});

test('times to first audio are summed up by median and 95th percentile', () => {
  assert.equal(startsText([]), '');
  assert.equal(startsText([20]), 'First audio of 1 voice: median 20 ms, p95 20 ms.');
  const times = Array.from({ length: 40 }, (_, n) => 40 - n);
  assert.equal(startsText(times), 'First audio of 40 voices: median 20 ms, p95 38 ms.');
});

test('every voice has a line of description', () => {
  const voice = { id: 'a', name: 'a', kind: 'built_in' };
  assert.equal(describe({ ...voice, description: 'A low voice' }), 'A low voice');
  assert.equal(describe(voice), 'Comes with the model');
  assert.equal(describe({ ...voice, kind: 'cloned', duration_s: 6 }), 'Cloned from 6.0 s of speech');
  assert.equal(describe({ ...voice, kind: 'cloned' }), 'Cloned');
});

test('the overlap of text and speech is told in seconds', () => {
  assert.equal(overlapText({ overlap: null }), '');
  assert.match(overlapText({ overlap: { fromMs: 500, toMs: 2500 } }), /2\.0 s/);
});

test('the status of a speech shows problems first', () => {
  const status = (change, notice = null) => speechStatus({ ...SPEECH, ...change }, notice).message;
  assert.match(status({ stall: 'underrun' }, 'lost'), /Connection lost/);
  assert.match(status({}, 'back'), /Connected again/);
  assert.match(status({ phase: 'paused', stall: 'underrun' }), /Paused/);
  assert.match(status({ phase: 'waiting', queuePosition: 2 }), /2nd in line/);
  assert.match(status({ phase: 'waiting' }), /first audio/);
  assert.match(status({ stall: 'pause' }), /more text/);
  assert.match(status({ stall: 'underrun' }), /network or the server is slow/);
  assert.match(status({ underruns: { count: 1, ms: 400 } }), /once, for 0.4 s/);
  assert.equal(status({}), 'Speaking…');
});

test('code point offsets are converted to string offsets', () => {
  assert.deepEqual(textOffsets('a 🙂 bc', 4, 6), { start: 5, end: 7 });
  assert.deepEqual(textOffsets('a 🙂', 2, 3), { start: 2, end: 4 });
  assert.equal(textOffsets('ab', 1, 3), null);
  assert.equal(textOffsets('ab', -1, 1), null);
  assert.equal(textOffsets('ab', 1, 1), null);
});

// WordTimes

/** The times of a whole speech: `[text, start_ms, end_ms]`, exact unless estimated. */
function wordTimes(times, estimated = false) {
  const words = new WordTimes();
  let at = 0;
  for (const [text, start_ms, end_ms] of times) {
    const place = { start_char: at, end_char: at + [...text].length };
    words.add({ type: 'word', text, spoken: text, ...place, start_ms, end_ms: start_ms + 100, estimated });
    if (!estimated) words.setEnd({ type: 'word_end', ...place, start_ms, end_ms });
    at = place.end_char + 1;
  }
  return words;
}

/** A reproducible sequence. */
function* pseudoRandom() {
  for (let state = 1; ; state = (state * 48_271) % 2_147_483_647) yield state / 2_147_483_647;
}

test('at every time the spoken word is found, and none in a pause', () => {
  const numbers = pseudoRandom();
  const upTo = (most) => Math.floor(numbers.next().value * (most + 1));
  for (let speech = 0; speech < 50; speech++) {
    let ms = upTo(200);
    const times = Array.from({ length: upTo(8) }, (_, n) => {
      const start_ms = ms + upTo(1) * upTo(300); // most words follow without a pause
      ms = start_ms + upTo(3) * upTo(200); // some have no duration: the model skipped them
      return [`word${n}`, start_ms, ms];
    });
    const [exact, estimated] = [wordTimes(times), wordTimes(times, true)];
    for (let playedMs = 0; playedMs <= ms + 100; playedMs++) {
      const spoken = times.flatMap(([, start, end], n) => (start < playedMs && playedMs <= end ? [n] : []));
      assert.ok(spoken.length <= 1);
      assert.equal(exact.indexAt(playedMs), spoken[0] ?? -1, `${JSON.stringify(times)} at ${playedMs} ms`);
      const started = times.filter(([, start]) => start < playedMs).length;
      assert.deepEqual([exact.startedCount(playedMs), estimated.startedCount(playedMs)], [started, started]);
      assert.equal(estimated.indexAt(playedMs), started - 1);
    }
  }
});

test('a word lasts until its exact end is known, whatever was predicted', () => {
  const words = wordTimes([['One', 0, 80]]);
  const place = { start_char: 4, end_char: 7, start_ms: 200 };
  words.add({ type: 'word', text: 'two', spoken: 'two', ...place, end_ms: 300, estimated: false });
  assert.deepEqual([150, 250, 350].map((ms) => words.indexAt(ms)), [-1, 1, 1]);
  words.setEnd({ type: 'word_end', ...place, end_ms: 320 });
  assert.deepEqual([320, 321].map((ms) => words.indexAt(ms)), [1, -1]);
});

test('the end of a word that is not shown is ignored', () => {
  const words = wordTimes([['One', 0, 80]]);
  words.setEnd({ type: 'word_end', start_char: 4, end_char: 7, start_ms: 200, end_ms: 300 });
  new WordTimes().setEnd({ type: 'word_end', start_char: 4, end_char: 7, start_ms: 200, end_ms: 300 });
  assert.equal(words.words[0].end_ms, 80);
});

test('word times say whether they are estimated', () => {
  assert.equal(wordTimesText({ start_ms: 480, end_ms: 1822.5, estimated: false }), '0.48 to 1.82 s');
  assert.equal(wordTimesText({ start_ms: 0, end_ms: 90, estimated: true }), '0.00 to 0.09 s, estimated');
});

test('a subtitle is a sentence with the times of its words', () => {
  const { words } = wordTimes([['R&D', 0, 80], ['<one>', 100.4, 380], ['two.', 400, 499.6], ['More', 3_723_004, 3_723_010]]);
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

test('subtitles note estimated times and break long sentences between words', () => {
  const times = Array.from({ length: 40 }, (_, n) => [`word${n}`, 100 * n, 100 * n + 90]);
  const [head, note, ...cues] = webVtt(wordTimes(times, true).words).trim().split('\n\n');
  assert.deepEqual([head, note], ['WEBVTT', 'NOTE Some of these times are estimated.']);
  const lines = cues.map((cue) => cue.split('\n')[1].replace(/<[^>]*>/g, ''));
  assert.ok(lines.every((line) => line.length <= 42));
  assert.equal(lines.join(' '), times.map(([text]) => text).join(' '));
});

test('a subtitle without duration is still shown', () => {
  assert.match(webVtt(wordTimes([['One', 80, 80]]).words), /00:00:00.080 --> 00:00:00.081\nOne/);
  assert.equal(webVtt([]), 'WEBVTT\n');
});

test('a file name consists of the first words of the text', () => {
  assert.equal(fileName('Hello! This is it.', 'wav'), 'hello-this-is-it.wav');
  assert.equal(fileName('…', 'mp3'), 'speech.mp3');
  assert.equal(fileName('Grüße aus Köln', 'opus'), 'grüße-aus-köln.opus');
  assert.ok(fileName('word '.repeat(100), 'wav').length < 50);
});

test('programs contain the options in their language\'s names', () => {
  const options = { seed: 7, speed: 1.5, temperature: undefined, decodeSteps: 4 };
  assert.match(python({ ...REQUEST, options }), /context\(voice="clara", seed=7, speed=1.5, decode_steps=4, format="pcm"\)/);
  assert.match(javascript({ ...REQUEST, options }), /\{ voice: 'clara', seed: 7, speed: 1.5, decodeSteps: 4, format: 'pcm' \}/);
  assert.match(openai({ ...REQUEST, options }), /voice="clara",\n    input="[^\n]*",\n    response_format="wav",\n    speed=1.5,\n\)/);
  assert.match(openai({ ...REQUEST, voice: undefined, options }), /voice="alloy"/);
  assert.match(curl({ ...REQUEST, options }), /"seed":7,"speed":1.5,"decode_steps":4\}'/);
});

test('programs read the key from the environment, and never contain it', () => {
  const keyed = { ...REQUEST, needsKey: true };
  assert.match(python(keyed), /api_key=os.environ\["SAYLINE_API_KEY"\]/);
  assert.match(openai(keyed), /api_key=os.environ\["SAYLINE_API_KEY"\]/);
  assert.match(javascript(keyed), /apiKey: process.env.SAYLINE_API_KEY/);
  assert.match(curl(keyed), /Bearer \$SAYLINE_API_KEY/);
  for (const program of [python, javascript, curl, openai]) assert.doesNotMatch(program(REQUEST), /KEY/);
});
