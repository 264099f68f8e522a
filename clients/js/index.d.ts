/**
 * Speech while the text is still being written: the client of a Sayline server, for browsers and Node.
 *
 * `npm run check` checks that these declarations match the modules.
 */

/** Open a session. `url` is the address of the server or of its page. Rejects with `Refused` if there is none. */
export function connect(url: string, options?: ConnectOptions): Promise<Session>;

export interface ConnectOptions {
  /**
   * An API key or a token (`POST /v1/tokens`), or a function that returns one. The function is called for each
   * connection, because a token expires.
   */
  apiKey?: string | (() => string | Promise<string>);
  /** Replaces the built-in one. */
  WebSocket?: typeof globalThis.WebSocket;
}

/** The WebSocket address for a URL as people write it. */
export function streamAddress(url: string): string;

/** A text, or one that is still being written. */
export type Writing = string | Iterable<string> | AsyncIterable<string>;

/** Options of a context. Omitted ones are left to the server. */
export interface Wish {
  voice?: string;
  /** Default: `pcm`. */
  format?: 'pcm' | 'opus';
  /** `verbatim` speaks each `push` as one phrase; `managed` lets the server find the sentences. */
  mode?: 'managed' | 'verbatim';
  /** Verbalize numbers, dates, links and Markdown. */
  cleanUp?: boolean;
  /** The language of the clean-up, such as `en`. */
  language?: string;
  /** 0.5 to 2; the pitch does not change. */
  speed?: number;
  /** The same seed, text and voice give the same audio. */
  seed?: number;
  temperature?: number;
  /** 1 to 16. */
  decodeSteps?: number;
  /** How long an incomplete sentence waits for its rest. */
  maxDelayMs?: number;
  /** How much audio is sent ahead of playback. */
  maxLeadMs?: number;
  /** Speak a sentence while it is being written, with at least so many words ahead of the voice; 0: whole clauses. */
  lookaheadWords?: number;
  /** Lexicons that tell how words are said, the more important ones first. Default: the one named "default". */
  lexicons?: string[];
  /** Wait in the queue if the server is full; false: fail at once with `Full`. */
  wait?: boolean;
  /**
   * Let the server keep the speech and repeat it at once. `true` waits for the end of the text; by default it is kept
   * if there is a `seed` and the text has neither digits nor addresses.
   */
  cache?: boolean;
  /** The W3C trace that the server's spans of this context belong to. */
  traceparent?: string;
}

/** Any number of contexts over one connection, which is replaced when it is lost. */
export interface Session {
  readonly ready: Ready;
  readonly voices: Voices;
  /** Resolves with the reason when the session is over. */
  readonly closed: Promise<ConnectionLost | ProtocolError>;
  /** Called with `lost` when the connection broke and is being replaced, with `back` when it has been. */
  onConnection: (state: 'lost' | 'back') => void;
  /** Start a context: one stream of speech. */
  context(wish?: Wish): Context;
  close(): void;
}

/** The voices of a server. Methods reject with `Refused` if there is no answer, and `VoiceFailed` if it is an error. */
export interface Voices {
  /** The model's own voices, then those that this key has cloned. */
  list(): Promise<Voice[]>;
  /**
   * Clone a voice from a recording: 5 to 30 s of clear speech in any common format. `consent`: the speaker agrees to
   * this clone; without it nothing is sent. `name`: by default the id.
   */
  clone(recording: Blob, options: { name?: string; consent: boolean }): Promise<Voice>;
  /** The file of a cloned voice, which `clone` takes. */
  download(voice: string): Promise<Blob>;
  /** Delete a cloned voice. Speech in progress is not interrupted. */
  delete(voice: string): Promise<void>;
}

/** `id` or `name` is what `context({ voice })` takes. */
export interface Voice {
  id: string;
  name: string;
  kind: 'built_in' | 'cloned';
  /** One line about a voice of the model, if there is one. */
  description?: string;
  created?: string;
  /** Length of the recording. */
  duration_s?: number;
  /** How a better recording would improve a voice that was cloned now. */
  advice?: { code: string; message: string }[];
}

/** Describes the server and its model. */
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
 * One stream of speech: push text, and iterate over the events. The iterator throws `ContextFailed` if the server gave
 * up this context and `ConnectionLost` if the session ended, each after the events received before. Leaving the loop
 * early cancels the speech.
 */
export interface Context extends AsyncIterable<Event> {
  /** Names the context in the server's log. */
  readonly contextId: string;
  /** Whether the last event was received or the connection is lost for good. */
  readonly over: boolean;
  /** Milliseconds of audio received. */
  readonly durationMs: number;
  /** The position in the queue of a full server, or null; 1 is the next. */
  readonly place: number | null;
  /** Speak a whole text and yield its audio frames. */
  say(text: Writing): AsyncGenerator<Frame>;
  /** Push a whole text in the background, then end. An error of its iterator is thrown by the event iterator. */
  feed(text: Writing): void;
  /** Send a piece of text, split anywhere: pieces are joined as they are, so they include the spaces. */
  push(text: string): void;
  /** Speak all text pushed so far at once; a `flushed` event with this id confirms it. */
  flush(id?: string): void;
  /** End the text: the rest is spoken, then `done` follows. */
  end(): void;
  /** Report how much has been played, about once a second; between reports the server extrapolates. */
  ack(playedMs: number): void;
  /** Stop, and return what was heard up to `playedMs`, or up to the last `ack`, extrapolated. */
  cancel(playedMs?: number): Promise<Cancelled>;
}

/** `done` or `cancelled` is the last. Character positions count code points of all text of the context. */
export type Event = Queued | Frame | Word | WordEnd | Segment | Flushed | Done | Cancelled;

interface Numbered {
  context_id: string;
  /** Numbers the events of a context. */
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
  /** The verbalized form: "five dollars" for "$5". */
  spoken: string;
  /** The times are interpolated within the segment; otherwise `end_ms` is a prediction that `word_end` corrects. */
  estimated: boolean;
  /** Present if the model left the word out, as far as the server can tell. */
  missed?: boolean;
}

/** The exact end of the last word, unless its times are estimated. Arrives no later than the audio it belongs to. */
export interface WordEnd extends Omit<Timed, 'text'> {
  type: 'word_end';
}

/** A segment of text has been spoken; its times are exact. */
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
  /** Absent from an older server. */
  usage?: Usage;
  /** Which text was skipped, because the model cannot speak its script. */
  warnings?: string[];
  /** How many words the model left out. Absent if none. */
  missed_words?: number;
}

/** The account of one context. Characters are those of the text as sent. */
export interface Usage {
  /** Characters accepted. */
  taken_chars: number;
  /** Those that were spoken, at least in part. */
  billed_chars: number;
  /** Audio that was made. */
  generated_ms: number;
  /** All audio sent, or what had been played when the context was cancelled. */
  heard_ms: number;
  /** Time in the queue of a full server. */
  queued_ms: number;
  /** Frames that had to be made again. */
  retries: number;
  /** From the first speakable text to its first audio, on the server. Absent without audio. */
  first_audio_ms?: number;
}

/** `heard_text` is what belongs in a language model's history. */
export interface Cancelled extends Numbered {
  type: 'cancelled';
  /** Audio that was sent. */
  duration_ms: number;
  /** Audio that was generated. */
  generated_ms: number;
  heard_chars: number;
  heard_text: string;
  unheard_text: string;
  /** Absent from an older server, and where this was computed by the client. */
  usage?: Usage;
}

/** The audio output of a page: mixes any number of players. */
export class AudioOutput {
  private constructor(audio: AudioContext, format: 'opus' | 'pcm');
  /**
   * Call it first in a click handler: browsers block audio without a user gesture. `sampleRateHz` is the rate of PCM,
   * to avoid resampling if Opus is not available.
   */
  static open(options?: { sampleRateHz?: number }): Promise<AudioOutput>;
  /** The format to request with `context({ format: output.format })`. */
  readonly format: 'opus' | 'pcm';
  /** The rate of the samples that players accept and report. */
  readonly sampleRateHz: number;
  /** The last node before the destination. */
  readonly node: AudioNode;
  /** 0 to 1. */
  volume: number;
  /** Create a player for one stream of speech; several can play at once. */
  player(listener?: Listener): Player;
  /** Stop all players and release the audio device. */
  close(): Promise<void>;
}

export interface Listener {
  /** Called about once a second, and when playback stops: for `speech.ack`. */
  onPlayed?: (playedMs: number) => void;
  /** Called when playback continues after an underrun of this duration. */
  onUnderrun?: (ms: number) => void;
  /** Called with decoded samples at the output's rate. */
  onSamples?: (samples: Float32Array, startMs: number) => void;
}

/** Samples at the output's rate, to play them again. */
export interface Samples {
  samples: Float32Array;
  start_ms: number;
}

/** Plays one stream of speech. */
export interface Player {
  /** Resolves with the played milliseconds at the end or after a stop. Rejects if Opus cannot be decoded. */
  readonly finished: Promise<number>;
  /** Milliseconds played, from the `start_ms` of the first frame on; silence between frames does not count. */
  readonly playedMs: number;
  /** Milliseconds of audio that are buffered. */
  readonly leadMs: number;
  /** How late a frame may arrive without an underrun: 40 to 300, adapted to the jitter of the network. */
  readonly jitterMs: number;
  /** Underruns in the middle of speech; silence after a segment, before more text was written, does not count. */
  readonly underruns: { count: number; ms: number };
  readonly paused: boolean;
  /** Play an event of a context: frames are appended, segments and the last event are evaluated, others ignored. */
  play(event: Event | Samples): void;
  /** Play a whole context and acknowledge the played audio. Resolves at the end; throws what the context throws. */
  playAll(speech: Context): Promise<number>;
  /** No more events follow: play the rest. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Fade out and stop. Returns how much will have been played: `speech.cancel(player.stop())`. */
  stop(): number;
}

/** Measures the time to first audio from what was sent and received. */
export class Stopwatch {
  constructor(nowMs?: () => number);
  /** Milliseconds of speech received. */
  speechMs: number;
  /** From sending the last character of the first segment to receiving the first audio; null until then. */
  readonly firstAudioMs: number | null;
  sent(text: string): void;
  heard(durationMs: number): void;
  /** A segment that ends at this character has been spoken. */
  segment(endChar: number): void;
}

/** Base class of all errors of this package. Every message says what to do. */
export class SaylineError extends Error {}

/** No session could be opened: no server, a rejected key, a full server or a wrong address. */
export class Refused extends SaylineError {
  constructor(message: string, retryAfterMs?: number, isServerRefusal?: boolean);
  /** If set, a retry after that time may succeed. */
  readonly retryAfterMs: number | undefined;
  /** Whether the server itself refused the session, because it is full or stops. */
  readonly isServerRefusal: boolean;
}

/** The server refused to clone, download or delete a voice. */
export class VoiceFailed extends SaylineError {
  constructor(code: string, message: string);
  /** For programs. */
  readonly code: string;
}

/** The session ended before its contexts did. */
export class ConnectionLost extends SaylineError {
  constructor(message: string, more?: { closeCode?: number; retryAfterMs?: number });
  /** Set if the server closed the session. */
  readonly closeCode: number | undefined;
  readonly retryAfterMs: number | undefined;
}

/** The connection was restored, but the server cannot go on with this context: speak its text in a new one. */
export class NotRecovered extends ConnectionLost {}

/** The server sent an invalid message. */
export class ProtocolError extends SaylineError {}

/** The server gave up one context or refused one of its messages; the session and its other contexts go on. */
export class ContextFailed extends SaylineError {
  constructor(code: string, message: string, retryAfterMs?: number);
  /** For programs. */
  readonly code: string;
  readonly retryAfterMs: number | undefined;
}

/** The server is full: retry after `retryAfterMs`, or wait in the queue, as a context does without `wait: false`. */
export class Full extends ContextFailed {}

/** A limit of the key, session or context was exceeded: wait `retryAfterMs`, or until some speech has finished. */
export class Limited extends ContextFailed {}

/** Received audio was not read: read it sooner, or lower `maxLeadMs`. */
export class SlowConsumer extends ContextFailed {}

/** The voice does not exist for this key: `session.ready.voices` lists those that do. */
export class UnknownVoice extends ContextFailed {}
