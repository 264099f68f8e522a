/** Typical programs, and mistakes that TypeScript has to report. Compiled only, never run. */

import { AudioOutput, ContextFailed, Full, Refused, Stopwatch, connect } from '../index.js';
import type { Event, Frame, Writing } from '../index.js';

async function* pieces(): AsyncGenerator<string> {
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

export async function playAndCancel(): Promise<string> {
  const server = await connect('ws://127.0.0.1:8000', { apiKey: async () => 'a token' });
  const output = await AudioOutput.open();
  const speech = server.context({ format: output.format });
  const onSamples = (samples: Float32Array, ms: number) => console.log(samples.length, ms);
  const player = output.player({ onPlayed: (ms) => speech.ack(ms), onSamples });
  speech.feed(pieces());
  for await (const event of speech) player.play(event);
  player.play({ samples: new Float32Array(480), start_ms: 0 });
  await player.playAll(speech);
  output.volume = 0.5;
  const { heard_text } = await speech.cancel(player.stop());
  return heard_text;
}

export function position(event: Event): number {
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
  // @ts-expect-error unknown option
  server.context({ clean_up: true });
  // @ts-expect-error unknown format
  server.context({ format: 'mp3' });
  // @ts-expect-error a number is not text
  server.context().say([1, 2]);
  // @ts-expect-error use AudioOutput.open
  new AudioOutput();
  // @ts-expect-error frames are read-only
  frame.start_ms = 0;
}
