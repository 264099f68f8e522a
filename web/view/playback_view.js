/** Displays playback: waveform, captions, times, live numbers and the lead graph. */

import { Recording } from '../playback/recording.js';
import { formatClock } from '../status_text.js';
import { Captions } from './captions.js';
import { Graph } from './graph.js';
import { Waveform } from './waveform.js';

/** @typedef {import('../playback/speech_request.js').SpeechRequest} SpeechRequest */

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

export class PlaybackView {
  /** The recording of the latest speech. @type {Recording | null} */
  recording = null;
  #captions = new Captions(element('captions'));
  #waveform = new Waveform(element('wave'), element('seek'));
  #graph = new Graph(element('graph'));
  #played = element('played');
  #duration = element('duration');
  #numbers = {
    firstAudio: element('first-audio'),
    lead: element('lead'),
    underruns: element('underruns'),
    realTimeFactor: element('real-time-factor'),
  };

  /** @param {(ms: number) => void} seek called with the position where the user wants to replay from */
  set onSeek(seek) {
    this.#captions.onSeek = this.#waveform.onSeek = seek;
  }

  /** Whether the user can seek, provided that there is a recording. @param {boolean} seekable */
  set seekable(seekable) {
    const canSeek = seekable && this.recording !== null && this.recording.durationMs > 0;
    this.#captions.setSeekable(canSeek);
    this.#waveform.setSeekable(canSeek);
  }

  /** The words of the latest speech received so far. */
  get words() {
    return this.#captions.words;
  }

  /**
   * Clear the view for a new speech.
   * @param {number} sampleRateHz
   * @returns {import('../playback/speech_request.js').SpeechListener}
   */
  startSpeech(sampleRateHz) {
    const recording = (this.recording = new Recording(sampleRateHz));
    this.#captions.clear();
    this.#waveform.show(recording);
    this.#graph.clear();
    return {
      onText: (piece) => this.#captions.appendText(piece),
      onWord: (word) => this.#captions.addWord(word),
      onWordEnd: (end) => this.#captions.setWordEnd(end),
      onSamples: (samples, startMs) => recording.add(samples, startMs),
    };
  }

  /** @param {number} playedMs */
  drawPosition(playedMs) {
    this.#captions.highlight(playedMs);
    this.#waveform.draw(playedMs);
    this.#played.textContent = formatClock(playedMs);
    this.#duration.textContent = formatClock(this.recording?.durationMs ?? 0);
  }

  /** Draw the position and the live numbers of a speech in progress. @param {SpeechRequest} speech */
  drawSpeech(speech) {
    this.drawPosition(speech.playedMs);
    const { firstAudioMs } = speech.stopwatch;
    const realTimeFactor = speech.speedMeter.realTimeFactor(firstAudioMs);
    this.#numbers.firstAudio.textContent = firstAudioMs === null ? '–' : String(Math.round(firstAudioMs));
    this.#numbers.lead.textContent = (Math.max(0, speech.leadMs) / 1000).toFixed(1);
    this.#numbers.underruns.textContent = String(speech.underruns.count);
    this.#numbers.realTimeFactor.textContent = realTimeFactor === null ? '–' : realTimeFactor.toFixed(1);
    if (speech.phase !== 'waiting') this.#graph.add(Math.max(0, speech.leadMs), speech.isStalled);
  }

  clearHighlight() {
    this.#captions.clearHighlight();
  }

  /** Mark the words within the first `chars` characters as heard, after a stop. @param {number} chars */
  markHeard(chars) {
    this.#captions.markHeard(chars);
  }
}
