/**
 * Speech while the text is still being written: the client of a Sayline server, for browsers and Node.
 *
 * `npm run check` holds this to what the modules are.
 */

/** Open a session: `url` is the server's address, or its page's. Rejects with `Refused` where there is none. */
export function connect(url: string, options?: ConnectOptions): Promise<Session>;

export interface ConnectOptions {
  apiKey?: string;
  /** Another than the machine's own. */
  WebSocket?: typeof globalThis.WebSocket;
}

/** The address of the stream for what people write. */
export function streamAddress(url: string): string;

/** A text, or one that is still being written. */
export type Writing = string | Iterable<string> | AsyncIterable<string>;

/** What is left out is the server's choice. */
export interface Wish {
  voice?: string;
  /** `pcm` where nothing is said. */
  format?: 'pcm' | 'opus';
  /** `verbatim` speaks each `push` as one phrase; else the server finds the sentences. */
  mode?: 'managed' | 'verbatim';
  /** Numbers, dates, links and Markdown as a person would say them. */
  cleanUp?: boolean;
  /** Of the clean-up, as `en`. */
  language?: string;
  /** 0.5 to 2, without change of pitch. */
  speed?: number;
  /** The same seed, text and voice give the same audio. */
  seed?: number;
  temperature?: number;
  /** 1 to 16. */
  decodeSteps?: number;
  /** Half a sentence waits for its other half no longer than this. */
  maxDelayMs?: number;
  /** Audio sent ahead of what was heard. */
  maxLeadMs?: number;
  /** In the queue where the server is full; false: `Full` at once. */
  wait?: boolean;
}

/** Any number of contexts over one connection, and over the next one when that is lost. */
export interface Session {
  readonly ready: Ready;
  /** Fulfilled when the session is over, with why. */
  readonly closed: Promise<ConnectionLost | ProtocolError>;
  /** Told `lost` when the connection broke and another is looked for, `back` when there is one. */
  onConnection: (state: 'lost' | 'back') => void;
  /** A stream of speech. */
  context(wish?: Wish): Context;
  close(): void;
}

/** What speaks there. */
export interface Ready {
  protocol: string;
  server: string;
  model: string;
  voices: string[];
  default_voice: string;
  sample_rate_hz: number;
  frame_ms: number;
  opus_pre_skip: number;
  session_id: string;
  token: string;
  resume_s: number;
}

/**
 * One stream of speech: text goes in, events come out of `for await`. That throws `ContextFailed` when the server gave
 * this context up, `ConnectionLost` when the session ended, each after the events that came before. Leaving the loop
 * early cancels the speech.
 */
export interface Context extends AsyncIterable<Event> {
  /** In the server's log it has this name. */
  readonly contextId: string;
  /** The last event has come, or the server is gone. */
  readonly over: boolean;
  /** Milliseconds of audio that have come. */
  readonly durationMs: number;
  /** In the queue of a server that is full, or null; 1 is the next. */
  readonly place: number | null;
  /** Speak all of a text and give the frames as they come. */
  say(text: Writing): AsyncGenerator<Frame>;
  /** Push all of a text in the background, then end. An error of its iterator comes out of the events. */
  feed(text: Writing): void;
  /** A piece of text, cut anywhere: pieces are joined as they are, so spaces belong to the text. */
  push(text: string): void;
  /** Speak at once all that was pushed; `flushed` tells when it was, with this id. */
  flush(id?: string): void;
  /** No more text will come: speak the rest, then `done`. */
  end(): void;
  /** Tell how much has been heard, about once a second; the server goes by the clock between. */
  ack(playedMs: number): void;
  /** Be silent now, and tell what was heard when `playedMs` had been played; without it the last `ack` counts. */
  cancel(playedMs?: number): Promise<Cancelled>;
}

/** A `done` or `cancelled` is the last. Characters are code points of all text of the context. */
export type Event = Queued | Frame | Word | WordEnd | Segment | Flushed | Done | Cancelled;

interface Numbered {
  context_id: string;
  /** Counts the events of a context. */
  seq: number;
}

interface Timed extends Numbered {
  text: string;
  start_char: number;
  end_char: number;
  start_ms: number;
  end_ms: number;
}

/** The server is full and this context waits; 1 is the next. */
export interface Queued extends Numbered {
  type: 'queued';
  place: number;
}

/** 80 ms of audio. */
export interface Frame extends Numbered {
  readonly type: 'frame';
  readonly start_ms: number;
  readonly format: 'pcm' | 'opus';
  /** One Opus packet, or the bytes of the samples. */
  readonly data: Uint8Array;
  readonly sample_rate_hz: number;
  readonly opus_pre_skip: number;
  /** Samples. Throws where the frame is Opus. */
  readonly pcm: Int16Array;
}

/** Comes no later than its audio. */
export interface Word extends Timed {
  type: 'word';
  /** How it is said: "five dollars" of "$5". */
  spoken: string;
  /** The times lie within the exact ones of the segment; otherwise `end_ms` is expected, and a `word_end` tells it. */
  estimated: boolean;
}

/** The last word is over: one whose times are not estimated. Comes no later than the audio in which it ends. */
export interface WordEnd extends Omit<Timed, 'text'> {
  type: 'word_end';
}

/** A piece of text is over; its times are exact. */
export interface Segment extends Timed {
  type: 'segment';
}

export interface Flushed extends Numbered {
  type: 'flushed';
  at_ms: number;
  id?: string;
}

export interface Done extends Numbered {
  type: 'done';
  duration_ms: number;
}

/** What a language model should find in its history is `heard_text`. */
export interface Cancelled extends Numbered {
  type: 'cancelled';
  /** Of what was sent. */
  duration_ms: number;
  /** Of what was made. */
  generated_ms: number;
  heard_chars: number;
  heard_text: string;
  unheard_text: string;
}

/** The sound of a page: any number of players, mixed and made as loud as wished. */
export class AudioOutput {
  private constructor(audio: AudioContext, format: 'opus' | 'pcm');
  /**
   * As the first thing in the handler of a click: browsers keep silent until then. `sampleRateHz` is that of PCM, so that
   * nothing is resampled where there is no Opus.
   */
  static open(options?: { sampleRateHz?: number }): Promise<AudioOutput>;
  /** What it plays best: ask for it with `context({ format: output.format })`. */
  readonly format: 'opus' | 'pcm';
  /** Of the samples that players take and give. */
  readonly sampleRateHz: number;
  /** The last node: what is heard. */
  readonly node: AudioNode;
  /** 0 to 1. */
  volume: number;
  /** For one stream of speech; there may be several at once. */
  player(listener?: Listener): Player;
  /** Silence: all players stop. */
  close(): Promise<void>;
}

export interface Listener {
  /** About once a second, and where the sound stops: for `speech.ack`. */
  onPlayed?: (playedMs: number) => void;
  /** It goes on after a gap of so long. */
  onUnderrun?: (ms: number) => void;
  /** Once decoded, at the output's rate. */
  onSamples?: (samples: Float32Array, startMs: number) => void;
}

/** Samples at the output's rate, to be heard (again). */
export interface Samples {
  samples: Float32Array;
  start_ms: number;
}

/** One stream of speech on its way to the ear. */
export interface Player {
  /** When all was heard, or the player stopped: with how much was heard. Rejects where Opus cannot be decoded. */
  readonly finished: Promise<number>;
  /** How much was heard, from the `start_ms` of the first frame on: silence between frames does not count. */
  readonly playedMs: number;
  /** How long the listener can go on without another frame. */
  readonly leadMs: number;
  /** How late a frame may be: 40 to 300, as they come evenly or not. */
  readonly jitterMs: number;
  /** Gaps in the midst of speech; not those where a piece of text was over, and the next not written yet. */
  readonly underruns: { count: number; ms: number };
  readonly paused: boolean;
  /** A frame, to be heard behind those before; of a context's other events it takes what concerns it. */
  play(event: Event | Samples): void;
  /** All of a context; the server is told what was heard. Fulfilled when all is; throws what the context throws. */
  playAll(speech: Context): Promise<number>;
  /** No more comes: what is here is heard to its end. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Fades, is silent, and tells how much will have been heard then: `speech.cancel(player.stop())`. */
  stop(): number;
}

/** How fast the speech came. Told what was sent and what came back. */
export class Stopwatch {
  constructor(nowMs?: () => number);
  /** Of all that came. */
  speechMs: number;
  /** From the last letter of the first segment going out to the first audio coming in; null until then. */
  readonly firstAudioMs: number | null;
  sent(text: string): void;
  heard(durationMs: number): void;
  /** Text up to here has been spoken. */
  segment(endChar: number): void;
}

/** The root of all errors of this package. Every message says what to do. */
export class SaylineError extends Error {}

/** No session came about: no server there, a wrong key, a full server, a wrong address. */
export class Refused extends SaylineError {
  constructor(message: string, retryAfterMs?: number);
  /** Where it is there, the same has a chance after so long. */
  readonly retryAfterMs: number | undefined;
}

/** The session ended before its contexts did. */
export class ConnectionLost extends SaylineError {
  constructor(message: string, more?: { closeCode?: number; retryAfterMs?: number });
  /** Where the server closed it. */
  readonly closeCode: number | undefined;
  readonly retryAfterMs: number | undefined;
}

/** The connection is back, but the server no longer knows this context: speak its text in another one. */
export class NotRecovered extends ConnectionLost {}

/** The server sent something that is not a Sayline message. */
export class ProtocolError extends SaylineError {}

/** The server gave up one context, or refused a message of it; the session and its other contexts go on. */
export class ContextFailed extends SaylineError {
  constructor(code: string, message: string, retryAfterMs?: number);
  /** For programs. */
  readonly code: string;
  readonly retryAfterMs: number | undefined;
}

/** No place: try again after `retryAfterMs`, or wait in line, as a context does without `wait: false`. */
export class Full extends ContextFailed {}

/** More than this key, session or context may have: wait `retryAfterMs`, or for speech that is under way. */
export class Limited extends ContextFailed {}

/** What came was not read: read it sooner, or ask for less of it ahead with `maxLeadMs`. */
export class SlowConsumer extends ContextFailed {}

/** There is no such voice for this key: `session.ready.voices` has those that there are. */
export class UnknownVoice extends ContextFailed {}
