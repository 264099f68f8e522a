/** Everything that can be heard on the page, one at a time, and what is said about it meanwhile. */

import { Floor } from './floor.js';
import { Replay } from './replay.js';
import { Sound } from './sound.js';
import { Talk } from './talk.js';
import { failed, happening, stopped } from './telling.js';

const AGAIN = 'Done. Click a word, or the waveform, to hear it again.';

/** @typedef {(output: any, session: any) => {act: import('./floor.js').Act, heard: Promise<void>}} Begin */

export class Performer {
  /** Somebody begins, ends, or is held. */
  onChange = () => {};
  sound = new Sound();
  #floor = new Floor();
  #link;
  #stage;
  #options;
  #crowd;
  #tell;
  /** Whose words and waveform are shown. @type {Talk | null} */
  #shown = null;

  /**
   * @param {import('./link.js').Link} link
   * @param {import('./stage.js').Stage} stage
   * @param {import('./options.js').Options} options
   * @param {import('./crowd.js').Crowd} crowd
   * @param {(message: string, fault?: boolean) => void} tell
   */
  constructor(link, stage, options, crowd, tell) {
    this.#link = link;
    this.#stage = stage;
    this.#options = options;
    this.#crowd = crowd;
    this.#tell = tell;
    this.#floor.onChange = () => this.onChange();
  }

  get act() {
    return this.#floor.act;
  }

  get isCrowd() {
    return this.act === this.#crowd;
  }

  /** What was said can be heard again now, if anything was. */
  get isFree() {
    return this.#link.session !== null && (!this.act || this.act instanceof Replay);
  }

  /** @param {Iterable<string> | AsyncIterable<string>} text @param {string | undefined} voice */
  async speak(text, voice) {
    const talk = await this.#perform((output, session) => {
      const format = this.#options.format(output.format);
      const speech = session.context({ voice, format, ...this.#options.wish });
      const act = new Talk(speech, output, session.ready.frame_ms, this.#stage.begin(output.sampleRateHz));
      const draw = () => this.#stage.show(act);
      this.#shown = act;
      this.#follow(act, draw, () => happening(act, this.#link.news));
      return { act, heard: act.run(text) };
    });
    if (talk?.phase === 'done') this.#tell(AGAIN);
  }

  /** What was said, from there on. @param {number} fromMs */
  async again(fromMs) {
    const { recording } = this.#stage;
    if (!recording) return;
    const replay = await this.#perform((output) => {
      const act = new Replay(output, recording, fromMs);
      const told = () => ({ message: act.phase === 'paused' ? 'Paused.' : 'Once more…' });
      this.#follow(act, () => this.#stage.draw(act.playedMs), told);
      return { act, heard: act.run() };
    });
    if (replay?.phase === 'done') this.#tell(AGAIN);
  }

  /** Several at once. */
  async together() {
    const crowd = this.#crowd;
    const act = await this.#perform((output, session) => {
      this.sound.voices = crowd.size;
      this.#follow(crowd, () => crowd.show(), () => ({ message: `${crowd.size} voices at once…` }));
      return { act: crowd, heard: crowd.speak(session, output, this.#options.format(output.format)) };
    });
    this.sound.voices = 1;
    if (act?.phase === 'done') this.#tell('Done.');
  }

  /** For the choice of a voice: rejects with what can be shown. @param {string} voice @param {string} text */
  async preview(voice, text) {
    const { session } = this.#link;
    if (!session) throw new Error('Connect first.');
    const heard = await this.#floor.take(this.sound.open(), (output) => {
      const speech = session.context({ voice, format: this.#options.format(output.format) });
      const act = new Talk(speech, output, session.ready.frame_ms);
      this.#follow(act, () => {}, () => ({ message: 'A sample of the voice…' }));
      return { act, heard: act.run([text]) };
    });
    if (heard?.phase === 'done') this.#tell('Done.');
  }

  async stop() {
    const { act } = this;
    if (!act) return;
    const ending = this.#floor.stop();
    this.#tell('Stopped.');
    const ended = await ending.catch(() => null); // a server that is gone is silent already
    if (!ended || act !== this.#shown) return;
    if (!this.act) this.#stage.draw(ended.playedMs);
    this.#stage.cut(ended.cancelled.heard_chars);
    if (!this.act) this.#tell(stopped(ended.playedMs, ended.cancelled));
  }

  /** Or goes on. */
  pause() {
    if (this.act?.phase === 'paused') this.act.resume?.();
    else this.act?.pause?.();
    this.onChange();
  }

  /** @param {Begin} begin */
  async #perform(begin) {
    const { session } = this.#link;
    if (!session) return null;
    try {
      const opening = this.sound.open(); // at once: still in the handler of the click
      return await this.#floor.take(opening, (output) => begin(output, session));
    } catch (error) {
      this.#tell(failed(/** @type {Error} */ (error)), true);
      return null;
    } finally {
      this.#stage.rest();
    }
  }

  /**
   * As often as the screen is drawn, for as long as this is heard.
   * @param {any} act
   * @param {() => void} draw
   * @param {() => {message: string, fault?: boolean}} told
   */
  #follow(act, draw, told) {
    let phase = '';
    const step = () => {
      if (this.act && this.act !== act) return;
      if (act.phase !== 'stopped') draw(); // what had been heard by then is told by who stops it
      if (act.isOver) return this.#stage.rest();
      const { message, fault } = told();
      this.#tell(message, fault);
      if (phase !== act.phase) this.onChange();
      phase = act.phase;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
}
