/**
 * The native protocol, version 1, as JSON: converts messages to WebSocket frames and back.
 *
 * Every message is a text frame, except audio, which is a binary frame: a 16-byte big-endian header (kind 1, length of
 * the context id, two zero bytes, sequence number, first sample), the context id and the payload.
 */

import { ProtocolError } from './errors.js';

export const SUBPROTOCOL = 'sayline.v1.json';
/** Browsers cannot set headers of a WebSocket request, so the API key is sent as a subprotocol with this prefix. */
export const KEY_SUBPROTOCOL = 'sayline.key.';
const AUDIO_KIND = 1;
const HEADER_BYTES = 16;
const MAX_ID_BYTES = 64;

/**
 * @typedef {{type: 'start', context_id: string, voice?: string, format?: 'pcm' | 'opus', mode?: 'managed' | 'verbatim',
 *   clean_up?: boolean, language?: string, speed?: number, seed?: number, temperature?: number, decode_steps?: number,
 *   max_delay_ms?: number, max_lead_ms?: number, lookahead_words?: number, wait?: boolean,
 *   lexicons?: string[], cache?: boolean, traceparent?: string, progress?: Progress}} StartMessage
 * @typedef {{seq: number, start_sample: number, start_char: number}} Progress the next ones of a context that another
 *   server had begun
 * @typedef {{type: 'text', context_id: string, text: string}} TextMessage
 * @typedef {{type: 'flush', context_id: string, id?: string}} FlushMessage
 * @typedef {{type: 'end', context_id: string}} EndMessage
 * @typedef {{type: 'cancel', context_id: string, played_ms?: number}} CancelMessage
 * @typedef {{type: 'ack', context_id: string, played_ms: number}} AckMessage
 * @typedef {{type: 'resume', token: string, contexts?: Record<string, number>}} ResumeMessage `contexts`: last `seq`s
 * @typedef {StartMessage | TextMessage | FlushMessage | EndMessage | CancelMessage | AckMessage} ContextMessage
 * @typedef {ContextMessage | ResumeMessage} ClientMessage
 *
 * @typedef {{type: 'ready', protocol: string, server: string, model: string, voices: string[], default_voice: string,
 *   sample_rate_hz: number, frame_ms: number, opus_pre_skip: number, session_id: string, token: string,
 *   resume_s: number}} ReadyMessage
 * @typedef {{type: 'resumed', recovered: boolean, session_id: string, contexts: Record<string, number>,
 *   message: string, can_continue?: boolean}} ResumedMessage `contexts`: messages received of each context
 * @typedef {{context_id: string, seq: number}} Numbered `seq` counts the events of a context
 * @typedef {Numbered & {type: 'queued', place: number}} QueuedMessage 1 is the next
 * @typedef {Numbered & {type: 'audio', start_sample: number, data: Uint8Array}} AudioMessage
 * @typedef {Numbered & {text: string, start_char: number, end_char: number, start_ms: number, end_ms: number}} Timed
 *   characters are code points of all text of the context
 * @typedef {Timed & {type: 'word', spoken: string, estimated: boolean, missed?: boolean}} WordMessage
 * @typedef {Omit<Timed, 'text'> & {type: 'word_end'}} WordEndMessage
 * @typedef {Timed & {type: 'segment'}} SegmentMessage
 * @typedef {Numbered & {type: 'flushed', at_ms: number, id?: string}} FlushedMessage
 * @typedef {{taken_chars: number, billed_chars: number, generated_ms: number, heard_ms: number, queued_ms: number,
 *   retries: number, first_audio_ms?: number}} Usage characters are those of the text as sent
 * @typedef {Numbered & {type: 'done', duration_ms: number, usage?: Usage, warnings?: string[],
 *   missed_words?: number}} DoneMessage
 * @typedef {Numbered & {type: 'cancelled', duration_ms: number, generated_ms: number, heard_chars: number,
 *   heard_text: string, unheard_text: string, usage?: Usage}} CancelledMessage
 * @typedef {{type: 'error', context_id?: string, seq?: number, code: string, message: string, final: boolean,
 *   retry_after_ms?: number}} ErrorMessage
 * @typedef {{type: 'unknown', context_id?: string, seq?: number}} UnknownMessage of a later server
 * @typedef {QueuedMessage | AudioMessage | WordMessage | WordEndMessage | SegmentMessage | FlushedMessage | DoneMessage
 *   | CancelledMessage | ErrorMessage | UnknownMessage} ContextEvent
 * @typedef {ReadyMessage | ResumedMessage | ContextEvent} ServerMessage
 */

const NUMBERED = { context_id: 'string', seq: 'whole' };
const PLACED = { ...NUMBERED, start_char: 'whole', end_char: 'whole', start_ms: 'number', end_ms: 'number' };
const TIMED = { ...PLACED, text: 'string' };
const USAGE = {
  taken_chars: 'whole', billed_chars: 'whole', generated_ms: 'number', heard_ms: 'number', queued_ms: 'number',
  retries: 'whole', first_audio_ms: 'number?',
};
/**
 * The fields of each type of message; kinds with a question mark are optional.
 * @type {Record<string, Record<string, string>>}
 */
const FIELDS = {
  ready: {
    protocol: 'string', server: 'string', model: 'string', voices: 'strings', default_voice: 'string',
    sample_rate_hz: 'whole', frame_ms: 'number', opus_pre_skip: 'whole', session_id: 'string', token: 'string',
    resume_s: 'number',
  },
  resumed: { recovered: 'boolean', session_id: 'string', contexts: 'counts', message: 'string', can_continue: 'boolean?' },
  queued: { ...NUMBERED, place: 'whole' },
  word: { ...TIMED, spoken: 'string', estimated: 'boolean', missed: 'boolean?' },
  word_end: PLACED,
  segment: TIMED,
  flushed: { ...NUMBERED, at_ms: 'number', id: 'string?' },
  done: { ...NUMBERED, duration_ms: 'number', usage: 'usage?', warnings: 'strings?', missed_words: 'whole?' },
  cancelled: {
    ...NUMBERED, duration_ms: 'number', generated_ms: 'number', heard_chars: 'whole', heard_text: 'string',
    unheard_text: 'string', usage: 'usage?',
  },
  error: {
    code: 'string', message: 'string', final: 'boolean', context_id: 'string?', seq: 'whole?',
    retry_after_ms: 'number?',
  },
};

/**
 * Encode a message as a text frame. Undefined fields are omitted, so the server's defaults apply.
 * @param {ClientMessage} message
 * @returns {string}
 */
export function encode(message) {
  return JSON.stringify(message, (_, value) => (typeof value === 'string' ? withoutSurrogates(value) : value));
}

/**
 * Remove lone surrogates, which UTF-8 cannot encode.
 * @param {string} text
 */
export function withoutSurrogates(text) {
  return text.replace(/\p{Surrogate}/gu, '');
}

/**
 * Decode a WebSocket frame. Types that only later servers have become `unknown`.
 * @param {string | ArrayBuffer} frame
 * @returns {ServerMessage}
 * @throws {ProtocolError} for an invalid message
 */
export function decode(frame) {
  return typeof frame === 'string' ? decodeText(frame) : decodeAudio(frame);
}

/** @param {string} frame @returns {ServerMessage} */
function decodeText(frame) {
  let message;
  try {
    message = JSON.parse(frame);
  } catch {
    throw new ProtocolError(`text frame is not JSON: ${frame.slice(0, 60)}`);
  }
  if (message === null || typeof message !== 'object' || typeof message.type !== 'string') {
    throw new ProtocolError(`message has no type: ${frame.slice(0, 60)}`);
  }
  if (message.type === 'audio') throw new ProtocolError('audio must be a binary frame');
  if (!Object.hasOwn(FIELDS, message.type)) return unknown(message);
  for (const [name, kind] of Object.entries(FIELDS[message.type])) {
    const value = message[name];
    if (!matches(value, kind)) {
      const shown = String(JSON.stringify(value)).slice(0, 60);
      throw new ProtocolError(`${message.type}.${name} has an invalid value: ${shown}`);
    }
  }
  return message;
}

/** Keep only the fields that all events share. @param {any} message @returns {UnknownMessage} */
function unknown({ context_id, seq }) {
  const known = matches(context_id, NUMBERED.context_id) && matches(seq, NUMBERED.seq);
  return known ? { type: 'unknown', context_id, seq } : { type: 'unknown' };
}

/** @param {ArrayBuffer} frame @returns {AudioMessage | UnknownMessage} */
function decodeAudio(frame) {
  if (frame.byteLength < HEADER_BYTES) {
    throw new ProtocolError(`audio frame of ${frame.byteLength} bytes is shorter than its header of ${HEADER_BYTES}`);
  }
  const header = new DataView(frame);
  if (header.getUint8(0) !== AUDIO_KIND) return { type: 'unknown' };
  const idBytes = header.getUint8(1);
  const dataAt = HEADER_BYTES + idBytes;
  if (idBytes < 1 || idBytes > MAX_ID_BYTES || dataAt > frame.byteLength) {
    throw new ProtocolError('audio frame has an invalid header');
  }
  let context_id;
  try {
    context_id = new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(frame, HEADER_BYTES, idBytes));
  } catch {
    throw new ProtocolError('context id in an audio frame is not UTF-8');
  }
  return {
    type: 'audio',
    context_id,
    seq: header.getUint32(4),
    start_sample: Number(header.getBigUint64(8)),
    data: new Uint8Array(frame, dataAt),
  };
}

/** @param {any} value @param {string} kind @returns {boolean} */
function matches(value, kind) {
  if (kind.endsWith('?')) return value === undefined || value === null || matches(value, kind.slice(0, -1));
  if (kind === 'usage') return isMap(value) && Object.entries(USAGE).every(([name, each]) => matches(value[name], each));
  if (kind === 'strings') return Array.isArray(value) && value.every((item) => typeof item === 'string');
  if (kind === 'counts') return isMap(value) && Object.values(value).every((item) => Number.isInteger(item));
  return kind === 'whole' ? Number.isInteger(value) : typeof value === kind;
}

/** @param {any} value */
function isMap(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
