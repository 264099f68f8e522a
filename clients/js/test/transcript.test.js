import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEPT_CHARS, Transcript } from '../transcript.js';

/** A transcript with 100 ms for each word. */
function transcriptOf(text, estimated = true) {
  const transcript = new Transcript();
  transcript.addText(text);
  let at = 0;
  for (const [number, word] of text.split(/(?<=\s)/u).entries()) {
    const length = [...word.trim()].length;
    const times = { start_ms: number * 100, end_ms: number * 100 + 100, estimated };
    const place = { text: word, spoken: word, start_char: at, end_char: at + length };
    transcript.addWord({ type: 'word', context_id: 'a', seq: number, ...place, ...times });
    at += [...word].length;
  }
  return transcript;
}

test('a word is heard if at least half of it was played', () => {
  const transcript = transcriptOf('Grüße an alle 🙂 Welt.');
  assert.deepEqual(transcript.splitHeard(149), { heard_chars: 5, heard_text: 'Grüße', unheard_text: ' an alle 🙂 Welt.' });
  assert.deepEqual(transcript.splitHeard(350), { heard_chars: 15, heard_text: 'Grüße an alle 🙂', unheard_text: ' Welt.' });
  assert.equal(transcript.splitHeard(0).heard_text, '');
});

test('the exact end of a word is used, and ignored without a word', () => {
  const transcript = transcriptOf('one two');
  transcript.setWordEnd(400);
  assert.equal(transcript.splitHeard(249).heard_text, 'one');
  assert.equal(transcript.splitHeard(250).heard_text, 'one two');
  const empty = new Transcript();
  empty.setWordEnd(100);
  assert.equal(empty.splitHeard(100).heard_chars, 0);
});

test('only the end of a long text is kept', () => {
  const { heard_chars, heard_text } = transcriptOf('word '.repeat(20_000)).splitHeard(Infinity);
  assert.equal(heard_chars, 100_000 - 1);
  assert.ok(heard_text.length >= KEPT_CHARS && heard_text.length <= 2 * KEPT_CHARS + 5);
});

test('a word is whole where the next one begins, or once its end is told', () => {
  const transcript = transcriptOf('one two three', false);
  assert.deepEqual([99, 100, 199, 200, 900].map((ms) => transcript.wholeChars(ms)), [0, 3, 3, 7, 7]);
  transcript.setWordEnd(320);
  assert.deepEqual([300, 320].map((ms) => transcript.wholeChars(ms)), [7, 13]);
  assert.equal(transcriptOf('one two three').wholeChars(10_000), 0);
});

test('words that will be told again are forgotten', () => {
  const transcript = transcriptOf('one two three');
  transcript.forgetWords(7);
  assert.deepEqual(transcript.splitHeard(1000), { heard_chars: 7, heard_text: 'one two', unheard_text: ' three' });
});
