/** Programs as people write them, and mistakes that TypeScript has to find. Never run. */

import { AudioOutput, ContextFailed, Full, Refused, Stopwatch, connect } from '../index.js';
import type { Event, Frame, Writing } from '../index.js';

async function* written(): AsyncGenerator<string> {
  yield 'Hello there.';
}

export async function frames(writing: Writing): Promise<number> {
  const server = await connect('ws://127.0.0.1:8000', { apiKey: 'secret' });
  server.onConnection = (state) => console.log(state === 'lost' ? server.ready.model : 'back');
  const speech = server.context({ voice: 'angus', format: 'pcm', cleanUp: false, decodeSteps: 4, wait: false });
  let samples = 0;
  for await (const frame of speech.say(writing)) samples += frame.pcm.length;
  return samples;
}

export async function heard(): Promise<string> {
  const server = await connect('ws://127.0.0.1:8000');
  const output = await AudioOutput.open();
  const speech = server.context({ format: output.format });
  const onSamples = (samples: Float32Array, ms: number) => console.log(samples.length, ms);
  const player = output.player({ onPlayed: (ms) => speech.ack(ms), onSamples });
  speech.feed(written());
  for await (const event of speech) player.play(event);
  player.play({ samples: new Float32Array(480), start_ms: 0 });
  await player.playAll(speech);
  output.volume = 0.5;
  const { heard_text } = await speech.cancel(player.stop());
  return heard_text;
}

export function told(event: Event): number {
  if (event.type === 'word') return event.start_ms;
  if (event.type === 'queued') return event.place;
  return event.type === 'frame' ? event.start_ms : event.seq;
}

export function retryAfterMs(error: unknown): number | undefined {
  if (error instanceof Refused || error instanceof Full) return error.retryAfterMs;
  return error instanceof ContextFailed && error.code === 'internal' ? 0 : new Stopwatch().firstAudioMs ?? undefined;
}

export async function mistakes(frame: Frame): Promise<void> {
  const server = await connect('ws://127.0.0.1:8000');
  // @ts-expect-error there is no such wish
  server.context({ clean_up: true });
  // @ts-expect-error nor such a format
  server.context({ format: 'mp3' });
  // @ts-expect-error numbers are no text
  server.context().say([1, 2]);
  // @ts-expect-error it is opened in the handler of a click
  new AudioOutput();
  // @ts-expect-error what came is not to be changed
  frame.start_ms = 0;
}
