/** What is heard, to be seen: waveform, words, times, numbers and the graph of the lead. */

import { Captions } from './captions.js';
import { Graph } from './graph.js';
import { Recording } from './recording.js';
import { clock } from './telling.js';
import { Waveform } from './waveform.js';

/** @typedef {import('./talk.js').Talk} Talk */

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

export class Stage {
  /** Of the newest talk. @type {Recording | null} */
  recording = null;
  #captions = new Captions(element('captions'));
  #waveform = new Waveform(element('wave'), element('seek'));
  #graph = new Graph(element('graph'));
  #played = element('played');
  #whole = element('whole');
  #numbers = {
    firstAudio: element('first-audio'),
    lead: element('lead'),
    underruns: element('underruns'),
    pace: element('pace'),
  };

  /** @param {(ms: number) => void} seek where somebody wants to hear it again */
  set onSeek(seek) {
    this.#captions.onSeek = this.#waveform.onSeek = seek;
  }

  /** Whether what was said can be heard again now. @param {boolean} seekable */
  set seekable(seekable) {
    const can = seekable && this.recording !== null && this.recording.durationMs > 0;
    this.#captions.setSeekable(can);
    this.#waveform.setSeekable(can);
  }

  /** Of the newest talk, as far as it has come. */
  get words() {
    return this.#captions.words;
  }

  /** A new talk. @param {number} sampleRateHz @returns {import('./talk.js').Ear} */
  begin(sampleRateHz) {
    const recording = (this.recording = new Recording(sampleRateHz));
    this.#captions.clear();
    this.#waveform.show(recording);
    this.#graph.clear();
    return {
      written: (piece) => this.#captions.write(piece),
      word: (word) => this.#captions.tell(word),
      wordEnd: (end) => this.#captions.tellEnd(end),
      samples: (samples, startMs) => recording.add(samples, startMs),
    };
  }

  /** Each time the screen is drawn. @param {number} playedMs */
  draw(playedMs) {
    this.#captions.light(playedMs);
    this.#waveform.draw(playedMs);
    this.#played.textContent = clock(playedMs);
    this.#whole.textContent = clock(this.recording?.durationMs ?? 0);
  }

  /** A talk under way, with its numbers. @param {Talk} talk */
  show(talk) {
    this.draw(talk.playedMs);
    const { firstAudioMs } = talk.stopwatch;
    const pace = talk.pace.timesRealTime(firstAudioMs);
    this.#numbers.firstAudio.textContent = firstAudioMs === null ? '–' : String(Math.round(firstAudioMs));
    this.#numbers.lead.textContent = (Math.max(0, talk.leadMs) / 1000).toFixed(1);
    this.#numbers.underruns.textContent = String(talk.dry.count);
    this.#numbers.pace.textContent = pace === null ? '–' : pace.toFixed(1);
    if (talk.phase !== 'waiting') this.#graph.add(Math.max(0, talk.leadMs), talk.isDry);
  }

  /** Nothing is heard any more. */
  rest() {
    this.#captions.rest();
  }

  /** So much had been heard when it was stopped. @param {number} chars */
  cut(chars) {
    this.#captions.cut(chars);
  }
}
