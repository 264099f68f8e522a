/** Several contexts over one connection, all heard at once: each a lane with its own text and voice. */

import { Captions } from './captions.js';
import { Talk } from './talk.js';

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
  #name = document.createElement('b');
  #text = document.createElement('p');
  #note = document.createElement('span');
  #captions = new Captions(this.#text);
  /** @type {Talk | null} */
  #talk = null;
  #line;

  /** @param {string} line what it says */
  constructor(line) {
    this.#line = line;
    this.element.className = 'lane';
    this.#note.className = 'note';
    this.element.append(this.#name, this.#text, this.#note);
    this.#captions.write(line);
  }

  /** @param {string} voice */
  set voice(voice) {
    this.#name.textContent = voice;
  }

  /** @param {import('../clients/js/context.js').Context} speech @param {any} output @param {number} frameMs */
  async speak(speech, output, frameMs) {
    this.#captions.clear();
    this.#captions.write(this.#line);
    this.#note.textContent = '';
    this.#talk = new Talk(speech, output, frameMs, {
      word: (word) => this.#captions.tell(word),
      wordEnd: (end) => this.#captions.tellEnd(end),
    });
    try {
      await this.#talk.run([this.#line]);
    } catch (error) {
      this.#note.textContent = 'failed';
      throw error;
    } finally {
      this.#captions.rest();
    }
  }

  async stop() {
    if (this.#talk && !this.#talk.isOver) await this.#talk.stop();
  }

  show() {
    if (!this.#talk || this.#talk.isOver) return;
    const { place, playedMs, stopwatch } = this.#talk;
    this.#captions.light(playedMs);
    if (place !== null) this.#note.textContent = `place ${place}`;
    else if (stopwatch.firstAudioMs !== null) this.#note.textContent = `${Math.round(stopwatch.firstAudioMs)} ms`;
  }
}

export class Crowd {
  /** @type {'speaking' | 'done' | 'stopped'} */
  phase = 'done';
  #list;
  /** @type {string[]} */
  #voices = [];
  /** @type {Lane[]} */
  #lanes = [];

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** @param {string} size @param {string[]} voices */
  seat(size, voices) {
    this.#voices = voices;
    this.#lanes = TEXTS.slice(0, Number(size)).map((line) => new Lane(line));
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
   * Until all are heard, or they were stopped. Throws what the first throws that fails, when the others are heard.
   * @param {import('../clients/js/session.js').Session} session
   * @param {any} output
   * @param {'opus' | 'pcm'} format
   */
  async speak(session, output, format) {
    this.phase = 'speaking';
    const talks = this.#lanes.map((lane, n) => {
      return lane.speak(session.context({ voice: this.#voice(n), format }), output, session.ready.frame_ms);
    });
    const fault = (await Promise.allSettled(talks)).find(({ status }) => status === 'rejected');
    if (!this.isOver) this.phase = 'done';
    if (fault?.status === 'rejected') throw fault.reason;
  }

  async stop() {
    this.phase = 'stopped';
    await Promise.allSettled(this.#lanes.map((lane) => lane.stop()));
  }

  show() {
    for (const lane of this.#lanes) lane.show();
  }

  #voice(n) {
    return this.#voices[n % this.#voices.length];
  }
}
