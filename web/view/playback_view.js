/** Displays playback: waveform, words, times, live numbers, the timeline and the lead graph. */

import { Recording } from '../playback/recording.js';
import { Timeline } from '../playback/timeline.js';
import { formatClock } from '../status_text.js';
import { Captions } from './captions.js';
import { Graph } from './graph.js';
import { ScriptView } from './script_view.js';
import { TimelineView } from './timeline_view.js';
import { Waveform } from './waveform.js';

/** @typedef {import('../playback/speech_request.js').SpeechRequest} SpeechRequest */

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

export class PlaybackView {
  /** The recording of the latest speech. @type {Recording | null} */
  recording = null;
  #captions = new Captions(element('captions'));
  #waveform = new Waveform(element('wave'), element('seek'));
  #graph = new Graph(element('graph'));
  #script = new ScriptView();
  #timelineView = new TimelineView(element('timeline'), element('overlap'));
  #timeline = new Timeline();
  #replay = element('replay');
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
    this.#replay.addEventListener('click', () => seek(0));
  }

  /** Whether the user can seek, provided that there is a recording. @param {boolean} seekable */
  set seekable(seekable) {
    const canSeek = seekable && this.recording !== null && this.recording.durationMs > 0;
    this.#captions.setSeekable(canSeek);
    this.#waveform.setSeekable(canSeek);
    this.#replay.disabled = !canSeek;
  }

  /** Whether the latest speech is being spoken, or spoken again: its words stay in the place of the text. */
  set isSpeaking(/** @type {boolean} */ isSpeaking) {
    this.#script.isSpeaking = isSpeaking;
    if (isSpeaking) this.#script.showWords();
    else if (!this.words.length) this.#script.showText(); // nothing came of it
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
    this.#timeline = this.#timelineView.start(recording);
    return {
      onText: (piece) => {
        this.#captions.appendText(piece);
        this.#timeline.addToken(piece);
      },
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
    this.#drawTime(speech);
  }

  /** @param {SpeechRequest} speech */
  #drawTime({ phase, leadMs, playedMs, stall }) {
    const aheadMs = Math.max(0, leadMs);
    if (phase !== 'waiting') this.#graph.add(aheadMs, stall);
    if (playedMs > 0) this.#timeline.addSound(phase === 'speaking' ? (stall ?? 'speech') : null, playedMs);
    this.#timeline.addWords(this.words, playedMs);
    this.#timelineView.update(phase === 'speaking' ? aheadMs : 0);
  }

  clearHighlight() {
    this.#captions.clearHighlight();
  }

  /** After a stop: mark what was heard, and offer it. @param {{heard_chars: number, heard_text: string}} cancelled */
  markHeard({ heard_chars, heard_text }) {
    this.#captions.markHeard(heard_chars);
    this.#script.showMemory(heard_text);
    this.#timelineView.update(0);
  }
}
