import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEPT_CHARS, Transcript } from '../transcript.js';

/** 100 ms for each word. */
function told(text) {
  const transcript = new Transcript();
  transcript.add(text);
  let at = 0;
  for (const [number, word] of text.split(/(?<=\s)/u).entries()) {
    const length = [...word.trim()].length;
    const times = { start_ms: number * 100, end_ms: number * 100 + 100, estimated: true };
    const place = { text: word, spoken: word, start_char: at, end_char: at + length };
    transcript.tell({ type: 'word', context_id: 'a', seq: number, ...place, ...times });
    at += [...word].length;
  }
  return transcript;
}

test('a word of which half was heard was heard', () => {
  const transcript = told('Grüße an alle 🙂 Welt.');
  assert.deepEqual(transcript.parted(149), { heard_chars: 5, heard_text: 'Grüße', unheard_text: ' an alle 🙂 Welt.' });
  assert.deepEqual(transcript.parted(350), { heard_chars: 15, heard_text: 'Grüße an alle 🙂', unheard_text: ' Welt.' });
  assert.equal(transcript.parted(0).heard_text, '');
});

test('the true end of a word counts, and without a word there is none', () => {
  const transcript = told('one two');
  transcript.tellEnd(400);
  assert.equal(transcript.parted(249).heard_text, 'one');
  assert.equal(transcript.parted(250).heard_text, 'one two');
  const empty = new Transcript();
  empty.tellEnd(100);
  assert.equal(empty.parted(100).heard_chars, 0);
});

test('of long speech the end is kept', () => {
  const { heard_chars, heard_text } = told('word '.repeat(20_000)).parted(Infinity);
  assert.equal(heard_chars, 100_000 - 1);
  assert.ok(heard_text.length >= KEPT_CHARS && heard_text.length <= 2 * KEPT_CHARS + 5);
});
