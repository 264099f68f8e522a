/**
 * The page: what is written in it is spoken, and what happens is said in words and numbers.
 * It knows the client's API and the page's elements; neither the protocol nor how sound is played.
 */

import { Player, WebAudioSink } from '/clients/js/player.js';
import { connect } from '/clients/js/sayline.js';
import { Stopwatch } from '/clients/js/stopwatch.js';
import { countHeard, inLine, likeAnLlm } from './writing.js';

const element = (id) => document.getElementById(id);
const ui = {
  form: element('form'), text: element('text'), voice: element('voice'), llm: element('llm'), speak: element('speak'),
  keyField: element('key-field'), key: element('key'), server: element('server'), status: element('status'),
  firstAudio: element('first-audio'), lead: element('lead'), speech: element('speech'),
  transcript: element('transcript'), heard: element('heard'), ahead: element('ahead'),
};
const KEY_NAME = 'sayline-api-key';

/** @type {import('/clients/js/sayline.js').Session | null} */ let session = null;
/** @type {Talk | null} */ let talk = null;
/** @type {WebAudioSink | null} */ let sink = null;
let broken = false; // the connection, for the moment

/** One press of Speak: the text on its way, the sound on its way back. */
class Talk {
  stopwatch = new Stopwatch();
  written = '';
  /** @type {import('/clients/js/context.js').Word[]} */ words = [];
  stopped = false;
  #speech;
  #player;

  constructor(speech, player) {
    this.#speech = speech;
    this.#player = player;
  }

  /** Until the last event has come. */
  async run(text, frameMs) {
    this.#speech.feed(this.#noted(text));
    for await (const event of this.#speech) {
      if (event.type === 'queued') {
        say(inLine(event.place));
      } else if (event.type === 'frame' && !this.stopped) {
        this.stopwatch.heard(frameMs);
        this.#player.play(event.pcm);
      } else if (event.type === 'word') {
        this.words.push(event);
      } else if (event.type === 'segment') {
        this.stopwatch.segment(event.end_char);
      }
    }
  }

  stop() {
    this.stopped = true;
    this.#player.stop();
    return this.#speech.cancel(this.playedMs);
  }

  get leadMs() {
    return this.#player.leadMs;
  }

  get playedMs() {
    return this.#player.playedMs;
  }

  async *#noted(text) {
    for await (const piece of text) {
      this.written += piece;
      this.stopwatch.sent(piece);
      yield piece;
    }
  }
}

async function open() {
  say('Connecting…');
  ui.speak.disabled = true;
  try {
    session = await connect(location.origin, { apiKey: sessionStorage.getItem(KEY_NAME) ?? undefined });
  } catch (error) {
    await explainFailure(error);
    return false;
  } finally {
    ui.speak.disabled = false;
  }
  ui.keyField.hidden = true;
  showServer(session.ready);
  say('Ready.');
  session.onConnection = (state) => {
    broken = state === 'lost';
    say(broken ? 'The connection is lost. Getting it back…' : 'Connected again.', broken);
  };
  watch(session);
  return true;
}

/** @param {import('/clients/js/sayline.js').Session} opened */
async function watch(opened) {
  const loss = await opened.closed;
  session = null;
  broken = false;
  if (!talk) disconnected(loss.message);
}

/** A browser does not tell a page why a WebSocket was refused; the server's health tells whether it is there. */
async function explainFailure(error) {
  const alive = await fetch('/healthz').then((response) => response.ok, () => false);
  if (!alive) {
    disconnected('There is no server here any more. Start it with “sayline serve”.');
    return;
  }
  const wrong = sessionStorage.getItem(KEY_NAME) !== null;
  sessionStorage.removeItem(KEY_NAME);
  ui.keyField.hidden = false;
  ui.key.focus();
  disconnected(wrong ? 'The server did not take this API key.' : `The server lets nobody in without its API key, or is full. (${error.name})`);
}

function disconnected(message) {
  ui.speak.textContent = 'Connect';
  ui.speak.disabled = false;
  say(message, true);
}

/** @param {import('/clients/js/sayline.js').Ready} ready */
function showServer({ model, voices, default_voice }) {
  const limits = model === 'embedded' ? ' It is a prototype that mumbles: right rhythm, no clear words yet.' : '';
  ui.server.textContent = `A voice that speaks while the text is still being written. Model: ${model}.${limits}`;
  ui.voice.replaceChildren(...voices.map((name) => new Option(name, name, name === default_voice, name === default_voice)));
  ui.voice.disabled = false;
  ui.speak.textContent = 'Speak';
}

async function speak() {
  sink ??= new WebAudioSink(session.ready.sample_rate_hz);
  await sink.resume();
  const text = ui.text.value;
  try {
    const speech = session.context({ voice: ui.voice.value });
    const onPlayed = (playedMs) => speech.ack(playedMs);
    talk = new Talk(speech, new Player(sink, { sampleRateHz: session.ready.sample_rate_hz, onPlayed }));
    requestAnimationFrame(showNumbers);
    ui.speak.textContent = 'Stop';
    say('Waiting for the first sound…');
    await talk.run(ui.llm.checked ? likeAnLlm(text) : [text], session.ready.frame_ms);
    await allHeard(talk);
    say(talk.stopped ? 'Stopped.' : 'Done.');
  } catch (error) {
    say(error.message, true);
  } finally {
    talk = null;
    ui.speak.textContent = session ? 'Speak' : 'Connect';
  }
}

/** @param {Talk} talk */
async function allHeard(talk) {
  while (talk.leadMs > 0) await new Promise(requestAnimationFrame);
}

/** Each time the screen is drawn, while somebody talks. */
function showNumbers() {
  if (!talk) return;
  const { stopwatch, leadMs, playedMs } = talk;
  ui.firstAudio.textContent = stopwatch.firstAudioMs === null ? '–' : String(Math.round(stopwatch.firstAudioMs));
  ui.lead.textContent = (leadMs / 1000).toFixed(1);
  ui.speech.textContent = (stopwatch.speechMs / 1000).toFixed(1);
  if (playedMs > 0 && !talk.stopped && !broken) say('Speaking…');
  const heard = countHeard(talk.written, talk.words, playedMs);
  ui.transcript.hidden = talk.written === '';
  ui.heard.textContent = talk.written.slice(0, heard);
  ui.ahead.textContent = talk.written.slice(heard);
  requestAnimationFrame(showNumbers);
}

function say(message, fault = false) {
  if (ui.status.textContent !== message) ui.status.textContent = message; // said once by a screen reader
  ui.status.classList.toggle('fault', fault);
}

ui.form.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (talk) {
    await talk.stop().catch(() => {}); // a server that is gone is silent already
    return;
  }
  if (ui.key.value) sessionStorage.setItem(KEY_NAME, ui.key.value);
  ui.key.value = '';
  if (!session) await open();
  else if (ui.text.value.trim()) await speak();
  else say('Write something first.', true);
});

await open();
