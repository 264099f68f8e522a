/** The demo page: connects its parts and handles the controls of the main form. */

import { PlaybackController } from './playback/playback_controller.js';
import { simulateLlm } from './playback/llm_simulator.js';
import { ConnectError, ServerConnection } from './server_connection.js';
import { CodeSamples } from './view/code_samples.js';
import { Downloads } from './view/downloads.js';
import { MultiVoiceDemo } from './view/multi_voice_demo.js';
import { Options } from './view/options.js';
import { PlaybackView } from './view/playback_view.js';
import { installVoices } from './voices/voices.js';

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const ui = {
  form: element('form'), text: element('text'), speak: element('speak'), pause: element('pause'), llm: element('llm'),
  rate: element('rate'), rateNow: element('rate-now'), volume: element('volume'), keyField: element('key-field'),
  key: element('key'), server: element('server'), status: element('status'),
  multiVoiceSize: element('multi-voice-size'), multiVoiceSpeak: element('multi-voice-speak'),
};

const connection = new ServerConnection();
const [view, options] = [new PlaybackView(), new Options()];
const multiVoice = new MultiVoiceDemo(element('lanes'));
const controller = new PlaybackController(connection, view, options, multiVoice, showStatus);
const codeSamples = new CodeSamples(request);
const downloads = new Downloads(request, () => connection.headers(), () => view.words);
const voices = installVoices({
  root: element('voices'),
  server: {
    headers: () => connection.headers(),
    speak: (voice, text) => controller.preview(voice, text),
    stop: () => controller.stop(),
    showStatus,
  },
});

async function open() {
  if (ui.key.value) connection.apiKey = ui.key.value;
  ui.key.value = '';
  showStatus('Connecting…');
  try {
    const ready = await connection.open();
    ui.keyField.hidden = true;
    ui.server.textContent = `Model: ${ready.model}.`;
    await voices.open(ready);
    multiVoice.setVoices(ui.multiVoiceSize.value, ready.voices);
    codeSamples.update();
    showStatus('Ready.');
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    ui.keyField.hidden = !error.needsKey;
    if (error.needsKey) ui.key.focus();
    showStatus(error.message, true);
  }
  updateControls();
}

async function toggleSpeech() {
  if (controller.current) await controller.stop();
  else if (!connection.session) await open();
  else if (ui.text.value.trim()) await speak();
  else showStatus('Enter some text first.', true);
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

/** @param {string} message @param {boolean} [isError] */
function showStatus(message, isError = false) {
  if (ui.status.textContent !== message) ui.status.textContent = message; // screen readers announce every change
  ui.status.classList.toggle('error', isError);
}

function updateControls() {
  const isConnected = connection.session !== null;
  const { current, isMultiVoice } = controller;
  ui.speak.disabled = false;
  ui.speak.textContent = current ? 'Stop' : isConnected ? 'Speak' : 'Connect';
  ui.pause.disabled = !current?.pause || !['speaking', 'paused'].includes(current.phase);
  ui.pause.textContent = current?.phase === 'paused' ? 'Resume' : 'Pause';
  ui.multiVoiceSpeak.disabled = !isConnected;
  ui.multiVoiceSpeak.textContent = isMultiVoice ? 'Stop' : 'Speak together';
  ui.multiVoiceSize.disabled = isMultiVoice;
  downloads.update(isConnected);
  view.seekable = controller.canReplay;
}

controller.onChange = updateControls;
view.onSeek = (ms) => controller.replay(ms);
connection.onNotice = () => {
  if (controller.current) return; // the status of the speech includes the notice
  if (connection.notice === 'lost') showStatus('Connection lost. Reconnecting…', true);
  else if (connection.notice === 'back') showStatus('Connected again.');
  else if (ui.status.textContent === 'Connected again.') showStatus('Ready.');
};
connection.onClosed = (reason) => {
  voices.close();
  if (!controller.current) showStatus(reason, true);
  updateControls();
};

ui.form.addEventListener('submit', (event) => {
  event.preventDefault();
  toggleSpeech();
});
ui.pause.addEventListener('click', () => controller.togglePause());
ui.multiVoiceSpeak.addEventListener('click', toggleMultiVoice);
ui.text.addEventListener('input', () => codeSamples.update());
element('voices').addEventListener('change', () => codeSamples.update());
options.onChange = () => codeSamples.update();
ui.volume.addEventListener('input', () => (controller.output.volume = ui.volume.valueAsNumber));
ui.rate.addEventListener('input', () => (ui.rateNow.value = ui.rate.value));
ui.multiVoiceSize.addEventListener('change', () => {
  multiVoice.setVoices(ui.multiVoiceSize.value, connection.session?.ready.voices ?? []);
});
ui.text.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) ui.form.requestSubmit();
});
document.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape' && controller.current) controller.stop();
});

multiVoice.setVoices(ui.multiVoiceSize.value, []); // before the server answers, so that the layout does not shift
await open();
