/** Several contexts over one connection, spoken at the same time: each in a lane with its own text and voice. */

import { percentile } from '../playback/percentile.js';
import { Recording } from '../playback/recording.js';
import { SpeechRequest } from '../playback/speech_request.js';
import { Captions } from './captions.js';
import { LiveWave } from './live_wave.js';

const TEXTS = [
  'Good morning. The first train leaves from platform two, and there is still time for a cup of tea.',
  'It will rain in the north until noon, and then the sun comes out over the hills.',
  'Once upon a time there was a lighthouse keeper who collected the names of passing ships.',
  'Stir the flour into the butter, add the milk slowly, and never stop stirring.',
  'Turn left at the old mill, cross the bridge, and follow the river to the sea.',
  'The committee met on Tuesday, agreed on nothing, and parted as good friends.',
  'Plant the bulbs a hand deep in autumn, and forget about them until spring.',
  'And that was the news. We wish you a quiet evening and a good night.',
];

class Lane {
  element = document.createElement('li');
  #voiceName = document.createElement('b');
  #box = document.createElement('p');
  #wave = new LiveWave();
  #note = document.createElement('span');
  #captions = new Captions(this.#box);
  /** @type {SpeechRequest | null} */
  #speech = null;
  #text;

  /** @param {string} text */
  constructor(text) {
    this.#text = text;
    this.element.className = 'lane';
    this.#note.className = 'note';
    this.element.append(this.#voiceName, this.#wave.element, this.#note, this.#box);
    this.#captions.appendText(text);
  }

  /** @param {string} voice */
  set voice(voice) {
    this.#voiceName.textContent = voice;
  }

  /** Null until audio was received. */
  get firstAudioMs() {
    return this.#speech?.stopwatch.firstAudioMs ?? null;
  }

  /** @param {import('../../clients/js/context.js').Context} context @param {any} output @param {number} frameMs */
  async speak(context, output, frameMs) {
    this.#captions.clear();
    this.#captions.appendText(this.#text);
    this.#note.textContent = '';
    const recording = new Recording(output.sampleRateHz);
    this.#wave.show(recording);
    this.#speech = new SpeechRequest(context, output, frameMs, {
      onSamples: (samples, startMs) => recording.add(samples, startMs),
      onWord: (word) => this.#captions.addWord(word),
      onWordEnd: (end) => this.#captions.setWordEnd(end),
    });
    try {
      await this.#speech.run([this.#text]);
    } catch (error) {
      this.#note.textContent = 'failed';
      throw error;
    } finally {
      this.#captions.clearHighlight();
    }
  }

  async stop() {
    if (!this.#speech || this.#speech.isOver) return;
    if (this.firstAudioMs === null) this.#note.textContent = ''; // it is in no line any more
    await this.#speech.stop();
  }

  draw() {
    if (!this.#speech || this.#speech.phase === 'stopped') return;
    const { queuePosition, playedMs, stopwatch } = this.#speech;
    this.#wave.draw(playedMs);
    if (!this.#speech.isOver) this.#captions.highlight(playedMs);
    if (queuePosition !== null) this.#note.textContent = `in line: ${queuePosition}`;
    else if (stopwatch.firstAudioMs !== null) this.#note.textContent = `${Math.round(stopwatch.firstAudioMs)} ms`;
  }
}

export class MultiVoiceDemo {
  /** @type {'speaking' | 'done' | 'stopped'} */
  phase = 'done';
  #list;
  #note;
  /** @type {string[]} */
  #voices = [];
  /** @type {Lane[]} */
  #lanes = [];

  /** @param {HTMLElement} list @param {HTMLElement} note where the times to first audio are summed up */
  constructor(list, note) {
    this.#list = list;
    this.#note = note;
  }

  /** Create this many lanes; the voices take turns. @param {string} size @param {string[]} voices */
  setVoices(size, voices) {
    this.#voices = voices;
    this.#lanes = TEXTS.slice(0, Number(size)).map((text) => new Lane(text));
    this.#lanes.forEach((lane, n) => (lane.voice = this.#voice(n) ?? ''));
    this.#list.replaceChildren(...this.#lanes.map(({ element }) => element));
  }

  get isOver() {
    return this.phase !== 'speaking';
  }

  get size() {
    return this.#lanes.length;
  }

  /**
   * Speak in all lanes. Resolves when all have been played or were stopped. If one fails, the others are played to
   * their end, and the first error is thrown.
   * @param {import('../../clients/js/session.js').Session} session
   * @param {any} output
   * @param {'opus' | 'pcm'} format
   */
  async speak(session, output, format) {
    this.phase = 'speaking';
    const speeches = this.#lanes.map((lane, n) => {
      return lane.speak(session.context({ voice: this.#voice(n), format }), output, session.ready.frame_ms);
    });
    const failure = (await Promise.allSettled(speeches)).find(({ status }) => status === 'rejected');
    if (!this.isOver) this.phase = 'done';
    if (failure?.status === 'rejected') throw failure.reason;
  }

  async stop() {
    this.phase = 'stopped';
    await Promise.allSettled(this.#lanes.map((lane) => lane.stop()));
  }

  draw() {
    for (const lane of this.#lanes) lane.draw();
    const text = startsText(this.#lanes.flatMap(({ firstAudioMs }) => firstAudioMs ?? []));
    if (text && this.#note.textContent !== text) this.#note.textContent = text;
  }

  #voice(n) {
    return this.#voices[n % this.#voices.length];
  }
}

/** Sums up times to first audio. @param {number[]} timesMs */
export function startsText(timesMs) {
  if (!timesMs.length) return '';
  const [median, p95] = [0.5, 0.95].map((fraction) => Math.round(percentile(timesMs, fraction)));
  const voices = timesMs.length === 1 ? '1 voice' : `${timesMs.length} voices`;
  return `First audio of ${voices}: median ${median} ms, p95 ${p95} ms.`;
}
