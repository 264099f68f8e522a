/**
 * The page: what is written in it is spoken, and what happens is said in words and numbers. Here its parts meet; each
 * of them is a file. They know the client's API; neither the protocol nor how sound is played.
 */

import { Buttons } from './buttons.js';
import { Crowd } from './crowd.js';
import { Downloads } from './downloads.js';
import { Link, NoLink } from './link.js';
import { Options } from './options.js';
import { Performer } from './performer.js';
import { Programs } from './programs.js';
import { Stage } from './stage.js';
import { installVoices } from './voices.js';
import { likeAnLlm } from './writing.js';

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const ui = {
  form: element('form'), text: element('text'), llm: element('llm'), rate: element('rate'),
  rateNow: element('rate-now'), volume: element('volume'), keyField: element('key-field'), key: element('key'),
  server: element('server'), status: element('status'), crowdSize: element('crowd-size'),
};

const [link, stage, options, crowd] = [new Link(), new Stage(), new Options(), new Crowd(element('lanes'))];
const performer = new Performer(link, stage, options, crowd, tell);
const programs = new Programs(order);
const downloads = new Downloads(order, () => link.headers(), () => stage.words);
const buttons = new Buttons({ speak: toggleSpeech, pause: () => performer.pause(), crowd: toggleCrowd });
const voices = installVoices({
  root: element('voices'),
  server: {
    headers: () => link.headers(),
    say: (voice, text) => performer.preview(voice, text),
    hush: () => performer.stop(),
    tell,
  },
});

async function open() {
  if (ui.key.value) link.apiKey = ui.key.value;
  ui.key.value = '';
  tell('Connecting…');
  try {
    const ready = await link.open();
    ui.keyField.hidden = true;
    showServer(ready);
    await voices.open(ready);
    crowd.seat(ui.crowdSize.value, ready.voices);
    programs.show();
    tell('Ready.');
  } catch (error) {
    if (!(error instanceof NoLink)) throw error;
    ui.keyField.hidden = !error.wantsKey;
    if (error.wantsKey) ui.key.focus();
    tell(error.message, true);
  }
  show();
}

/** @param {import('../clients/js/wire.js').ReadyMessage} ready */
function showServer({ model }) {
  ui.server.textContent = `Model: ${model}.`;
}

async function toggleSpeech() {
  if (performer.act) await performer.stop();
  else if (!link.session) await open();
  else if (ui.text.value.trim()) await speak();
  else tell('Write something first.', true);
}

async function speak() {
  options.draw();
  programs.show();
  const text = ui.llm.checked ? likeAnLlm(ui.text.value, () => ui.rate.valueAsNumber) : [ui.text.value];
  await performer.speak(text, voices.voice);
}

async function toggleCrowd() {
  if (performer.isCrowd) await performer.stop();
  else await performer.together();
}

/** What is wished for now. @returns {import('./copy_as.js').Order} */
function order() {
  const isKeyed = link.apiKey !== undefined;
  return { url: location.origin, text: ui.text.value, voice: voices.voice, wish: options.wish, isKeyed };
}

/** @param {string} message @param {boolean} [fault] */
function tell(message, fault = false) {
  if (ui.status.textContent !== message) ui.status.textContent = message; // said once by a screen reader
  ui.status.classList.toggle('fault', fault);
}

function show() {
  const isConnected = link.session !== null;
  buttons.show(performer.act, isConnected, performer.isCrowd);
  downloads.show(isConnected);
  stage.seekable = performer.isFree;
}

performer.onChange = show;
stage.onSeek = (ms) => performer.again(ms);
link.onNews = () => {
  if (performer.act) return; // who speaks tells it
  if (link.news === 'lost') tell('The connection is lost. Getting it back…', true);
  else if (link.news === 'back') tell('Connected again.');
  else if (ui.status.textContent === 'Connected again.') tell('Ready.');
};
link.onClosed = (why) => {
  voices.close();
  if (!performer.act) tell(why, true);
  show();
};

ui.form.addEventListener('submit', (event) => event.preventDefault());
ui.text.addEventListener('input', () => programs.show());
element('voices').addEventListener('change', () => programs.show());
options.onChange = () => programs.show();
ui.volume.addEventListener('input', () => (performer.sound.volume = ui.volume.valueAsNumber));
ui.rate.addEventListener('input', () => (ui.rateNow.value = ui.rate.value));
ui.crowdSize.addEventListener('change', () => crowd.seat(ui.crowdSize.value, link.session?.ready.voices ?? []));
ui.text.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) ui.form.requestSubmit();
});
document.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape' && performer.act) performer.stop();
});

crowd.seat(ui.crowdSize.value, []); // now, so that nothing moves when the server's voices are known
await open();
