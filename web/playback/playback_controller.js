/** Controls everything the page plays, one thing at a time, and updates the status line and the view meanwhile. */

import { doneText, speechStatus, stoppedText } from '../status_text.js';
import { SharedAudioOutput } from './audio_output.js';
import { ExclusivePlayback } from './exclusive_playback.js';
import { Replay } from './replay.js';
import { SpeechRequest } from './speech_request.js';

/** @typedef {import('./exclusive_playback.js').Playable} Playable */
/** @typedef {(output: any, session: any) => {playable: Playable, finished: Promise<void>}} Begin */

export class PlaybackController {
  /** Called when playback starts, ends, pauses or resumes. */
  onChange = () => {};
  output = new SharedAudioOutput();
  #playback = new ExclusivePlayback();
  #connection;
  #view;
  #options;
  #multiVoice;
  #status;
  /** The speech whose words and waveform the view shows. @type {SpeechRequest | null} */
  #shown = null;

  /**
   * @param {import('../server_connection.js').ServerConnection} connection
   * @param {import('../view/playback_view.js').PlaybackView} view
   * @param {import('../view/options.js').Options} options
   * @param {import('../view/multi_voice_demo.js').MultiVoiceDemo} multiVoice
   * @param {import('../view/status_line.js').StatusLine} status
   */
  constructor(connection, view, options, multiVoice, status) {
    this.#connection = connection;
    this.#view = view;
    this.#options = options;
    this.#multiVoice = multiVoice;
    this.#status = status;
    this.#playback.onChange = () => this.onChange();
  }

  get current() {
    return this.#playback.current;
  }

  get isMultiVoice() {
    return this.current === this.#multiVoice;
  }

  /** Whether the speech that the view shows is being spoken, or spoken again. */
  get isShownSpeaking() {
    return this.current !== null && (this.current === this.#shown || this.current instanceof Replay);
  }

  /** Whether a replay could start now, provided that there is a recording. */
  get canReplay() {
    return this.#connection.session !== null && (!this.current || this.current instanceof Replay);
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text @param {string | undefined} voice */
  async speak(text, voice) {
    const speech = await this.#start((output, session) => {
      const format = this.#options.format(output.format);
      const context = session.context({ voice, format, ...this.#options.values });
      const listener = this.#view.startSpeech(output.sampleRateHz);
      const playable = new SpeechRequest(context, output, session.ready.frame_ms, listener);
      this.#shown = playable;
      const draw = () => this.#view.drawSpeech(playable);
      this.#animate(playable, draw, () => speechStatus(playable, this.#connection.notice));
      return { playable, finished: playable.run(text) };
    });
    if (speech?.phase === 'done') this.#status.show(doneText(/** @type {any} */ (speech).warnings));
  }

  /** Play the latest speech again from the recording. @param {number} fromMs */
  async replay(fromMs) {
    const { recording } = this.#view;
    if (!recording) return;
    const replay = await this.#start((output) => {
      const playable = new Replay(output, recording, fromMs);
      const status = () => ({ message: playable.phase === 'paused' ? 'Paused.' : 'Playing again…' });
      this.#animate(playable, () => this.#view.drawPosition(playable.playedMs), status);
      return { playable, finished: playable.run() };
    });
    if (replay?.phase === 'done') this.#status.show(doneText([]));
  }

  /** Speak the texts of the multi-voice demo at the same time. */
  async speakMultiVoice() {
    const demo = this.#multiVoice;
    const played = await this.#start((output, session) => {
      this.output.voiceCount = demo.size;
      this.#animate(demo, () => demo.draw(), () => ({ message: `Speaking with ${demo.size} voices…` }));
      return { playable: demo, finished: demo.speak(session, output, this.#options.format(output.format)) };
    });
    this.output.voiceCount = 1;
    if (played?.phase === 'done') this.#status.show('Done.');
  }

  /** Play a sample of a voice. Rejects with an error that can be shown. @param {string} voice @param {string} text */
  async preview(voice, text) {
    const { session } = this.#connection;
    if (!session) throw new Error('There is no connection to the server.');
    const sample = await this.#playback.start(this.output.open(), (output) => {
      const context = session.context({ voice, format: this.#options.format(output.format) });
      const playable = new SpeechRequest(context, output, session.ready.frame_ms);
      this.#animate(playable, () => {}, () => ({ message: 'Playing a sample of the voice…' }));
      return { playable, finished: playable.run([text]) };
    });
    if (sample?.phase === 'done') this.#status.show('Done.');
  }

  async stop() {
    const stopped = this.current;
    if (!stopped) return;
    const stopping = this.#playback.stop();
    this.#status.show('Stopped.');
    const result = await stopping.catch(() => null); // rejects if the server is gone; audio has stopped anyway
    if (!result || stopped !== this.#shown) return;
    if (!this.current) this.#view.drawPosition(result.playedMs);
    this.#view.markHeard(result.cancelled);
    if (!this.current) this.#status.show(stoppedText(result.playedMs, result.cancelled));
  }

  togglePause() {
    if (this.current?.phase === 'paused') this.current.resume?.();
    else this.current?.pause?.();
    this.onChange();
  }

  /** @param {Begin} begin */
  async #start(begin) {
    const { session } = this.#connection;
    if (!session) return null;
    try {
      const opening = this.output.open(); // not awaited first: must run inside the click handler
      return await this.#playback.start(opening, (output) => begin(output, session));
    } catch (error) {
      this.#status.showError(/** @type {Error} */ (error));
      return null;
    } finally {
      this.#view.clearHighlight();
    }
  }

  /**
   * Redraw and update the status on every animation frame until the playable is over or replaced.
   * @param {any} playable
   * @param {() => void} draw
   * @param {() => {message: string, isError?: boolean}} status
   */
  #animate(playable, draw, status) {
    let phase = '';
    const step = () => {
      if (this.current && this.current !== playable) return;
      if (playable.phase !== 'stopped') draw(); // `stop` draws the final position itself
      if (playable.isOver) return this.#view.clearHighlight();
      const { message, isError } = status();
      this.#status.show(message, isError);
      if (phase !== playable.phase) this.onChange();
      phase = playable.phase;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
}
