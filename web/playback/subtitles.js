/** Formats the words of a speech as WebVTT subtitles with a timestamp for each word. */

/** @typedef {import('./word_times.js').TimedWord} TimedWord */

const LINE_CHARS = 42; // the usual limit on television
const SENTENCE_END = /[.!?…。！？]["'”’»)\]]*$/u;
const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** @param {TimedWord[]} words */
export function webVtt(words) {
  const note = words.some(({ estimated }) => estimated) ? ['NOTE Some of these times are estimated.'] : [];
  return `${['WEBVTT', ...note, ...splitLines(words).map(cue)].join('\n\n')}\n`;
}

/** Group words into subtitle lines: a sentence, or as much of it as fits. @param {TimedWord[]} words */
function splitLines(words) {
  /** @type {TimedWord[][]} */
  const all = [];
  for (const word of words) {
    const line = all.at(-1);
    const isFull = !line || word.end_char - line[0].start_char > LINE_CHARS;
    if (isFull || SENTENCE_END.test(line[line.length - 1].text)) all.push([word]);
    else line.push(word);
  }
  return all;
}

/** @param {TimedWord[]} line */
function cue(line) {
  const startMs = Math.round(line[0].start_ms);
  const endMs = Math.max(Math.round(line[line.length - 1].end_ms), startMs + 1);
  let [text, markedMs, endChar] = ['', startMs, line[0].start_char];
  for (const word of line) {
    const wordMs = Math.round(word.start_ms);
    if (word.start_char > endChar) text += ' ';
    if (wordMs > markedMs && wordMs < endMs) text += `<${timestamp((markedMs = wordMs))}>`;
    text += word.text.replace(/[&<>]/g, (char) => ESCAPES[char]).replace(/\s+/gu, ' ');
    endChar = word.end_char;
  }
  return `${timestamp(startMs)} --> ${timestamp(endMs)}\n${text}`;
}

/** @param {number} ms */
function timestamp(ms) {
  const [s, min] = [Math.floor(ms / 1000), Math.floor(ms / 60_000)];
  const parts = [Math.floor(min / 60), min % 60, s % 60].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}.${String(ms % 1000).padStart(3, '0')}`;
}
