/** The demo page: connects its parts and handles the controls of the main form. */

import { simulateLlm } from './playback/llm_simulator.js';
import { PlaybackController } from './playback/playback_controller.js';
import { Preferences } from './preferences.js';
import { ConnectError, ServerConnection } from './server_connection.js';
import { CodeSamples } from './view/code_samples.js';
import { Downloads } from './view/downloads.js';
import { MultiVoiceDemo } from './view/multi_voice_demo.js';
import { Options } from './view/options.js';
import { PlaybackView } from './view/playback_view.js';
import { Samples } from './view/samples.js';
import { ServerFacts } from './view/server_facts.js';
import { StatusLine } from './view/status_line.js';
import { VolumeControl } from './view/volume_control.js';
import { installVoices } from './voices/voices.js';

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const ui = {
  form: element('form'), text: element('text'), speak: element('speak'), pause: element('pause'), llm: element('llm'),
  rate: element('rate'), rateNow: element('rate-now'), keyField: element('key-field'), key: element('key'),
  advanced: element('advanced'), multiVoiceSize: element('multi-voice-size'),
  multiVoiceSpeak: element('multi-voice-speak'),
};

const connection = new ServerConnection();
const [preferences, facts] = [new Preferences(), new ServerFacts()];
const status = new StatusLine(element('status'), element('countdown'));
const [view, options, samples] = [new PlaybackView(), new Options(), new Samples(ui.text)];
const multiVoice = new MultiVoiceDemo(element('lanes'), element('multi-voice-note'));
const controller = new PlaybackController(connection, view, options, multiVoice, status);
const codeSamples = new CodeSamples(request);
const downloads = new Downloads(request, () => connection.headers(), () => view.words);
const voices = installVoices({
  root: element('voices'),
  wanted: preferences.voice,
  server: {
    headers: () => connection.headers(),
    speak: (voice, text) => controller.preview(voice, text),
    stop: () => controller.stop(),
    isBusy: () => controller.current !== null,
    showStatus: (message, isError) => status.show(message, isError),
  },
});

/** Returns whether there is a connection now. */
async function open() {
  if (ui.key.value) connection.apiKey = ui.key.value;
  ui.key.value = '';
  status.show('Connecting…');
  try {
    const ready = await connection.open();
    ui.keyField.hidden = true;
    facts.show(ready);
    await voices.open(ready);
    samples.show(voices.isEnglish);
    multiVoice.setVoices(ui.multiVoiceSize.value, ready.voices);
    codeSamples.update();
    status.show('Ready.');
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    ui.keyField.hidden = !error.needsKey;
    if (error.needsKey) ui.key.focus();
    status.showError(error);
  }
  updateControls();
  return connection.session !== null;
}

async function toggleSpeech() {
  if (controller.current) await controller.stop();
  else if (!ui.keyField.hidden) await open();
  else if (!ui.text.value.trim()) status.show('Enter some text first.', true);
  else if (connection.session || (await reopen())) await speak();
}

/** Connect again, inside of a click: browsers open the audio output only there. */
async function reopen() {
  controller.output.open().catch(() => {}); // the speech reports it
  return open();
}

async function speak() {
  options.drawSeed();
  codeSamples.update();
  const text = ui.llm.checked ? simulateLlm(ui.text.value, () => ui.rate.valueAsNumber) : [ui.text.value];
  await controller.speak(text, voices.voice);
}

async function toggleMultiVoice() {
  if (controller.isMultiVoice) await controller.stop();
  else await controller.speakMultiVoice();
}

/** The request that the page's current text, voice and settings describe. */
function request() {
  const needsKey = connection.apiKey !== undefined;
  return { url: location.origin, text: ui.text.value, voice: voices.voice, options: options.values, needsKey };
}

function updateControls() {
  const isConnected = connection.session !== null;
  const { current, isMultiVoice } = controller;
  ui.speak.disabled = false;
  ui.speak.textContent = current ? 'Stop' : ui.keyField.hidden ? 'Speak' : 'Connect';
  ui.pause.disabled = !current?.pause || !['speaking', 'paused'].includes(current.phase);
  ui.pause.textContent = current?.phase === 'paused' ? 'Resume' : 'Pause';
  ui.multiVoiceSpeak.disabled = !isConnected;
  ui.multiVoiceSpeak.textContent = isMultiVoice ? 'Stop' : 'Speak together';
  ui.multiVoiceSize.disabled = isMultiVoice;
  downloads.update(isConnected);
  view.seekable = controller.canReplay;
  view.isSpeaking = controller.isShownSpeaking;
}

controller.onChange = updateControls;
view.onSeek = (ms) => controller.replay(ms);
connection.onNotice = () => {
  if (connection.notice === 'lost') facts.stop();
  else facts.watch();
  if (controller.current) return; // the status of the speech includes the notice
  if (connection.notice === 'lost') status.show('Connection lost. Reconnecting…', true);
  else if (connection.notice === 'back') status.show('Connected again.');
  else if (status.text === 'Connected again.') status.show('Ready.');
};
connection.onClosed = (reason) => {
  facts.stop();
  voices.close();
  if (!controller.current) status.show(reason, true);
  updateControls();
};

ui.form.addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  toggleSpeech();
});
for (const event of ['click', 'keydown']) ui.form.addEventListener(event, () => controller.output.preload(), true);
// A field in a closed fold cannot be focused, and the browser would refuse to submit without a word.
ui.advanced.addEventListener('invalid', () => (ui.advanced.open = true), true);
ui.pause.addEventListener('click', () => controller.togglePause());
ui.multiVoiceSpeak.addEventListener('click', toggleMultiVoice);
ui.text.addEventListener('input', () => codeSamples.update());
element('voices').addEventListener('change', () => {
  codeSamples.update();
  preferences.voice = voices.voice;
});
options.onChange = () => codeSamples.update();
ui.rate.addEventListener('input', () => (ui.rateNow.value = ui.rate.value));
ui.multiVoiceSize.addEventListener('input', () => {
  multiVoice.setVoices(ui.multiVoiceSize.value, connection.session?.ready.voices ?? []);
});
ui.text.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) ui.form.requestSubmit();
});
document.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape' && controller.current) controller.stop();
});
new VolumeControl((volume) => (controller.output.volume = volume));

multiVoice.setVoices(ui.multiVoiceSize.value, []); // before the server answers, so that the layout does not shift
preferences.install();
await open();
