/**
 * The native protocol, version 1, as JSON: messages to WebSocket frames and back. Knows no socket and no order.
 *
 * Every message is a text frame but audio, which is a binary frame of a 16-byte big-endian header (kind 1, length of
 * the context's name, two bytes of zero, sequence number, first sample), the context's name and the payload.
 */

import { ProtocolError } from './errors.js';

export const SUBPROTOCOL = 'sayline.v1.json';
/** Browsers cannot send headers with a WebSocket; the API key goes as a subprotocol of this beginning. */
export const KEY_SUBPROTOCOL = 'sayline.key.';
const AUDIO_KIND = 1;
const HEADER_BYTES = 16;
const MAX_NAME_BYTES = 64;

/**
 * @typedef {{type: 'start', context_id: string, voice?: string, format?: 'pcm' | 'opus', mode?: 'managed' | 'verbatim',
 *   clean_up?: boolean, language?: string, speed?: number, seed?: number, temperature?: number, decode_steps?: number,
 *   max_delay_ms?: number, max_lead_ms?: number, wait?: boolean}} StartMessage
 * @typedef {{type: 'text', context_id: string, text: string}} TextMessage
 * @typedef {{type: 'flush', context_id: string, id?: string}} FlushMessage
 * @typedef {{type: 'end', context_id: string}} EndMessage
 * @typedef {{type: 'cancel', context_id: string, played_ms?: number}} CancelMessage
 * @typedef {{type: 'ack', context_id: string, played_ms: number}} AckMessage
 * @typedef {{type: 'resume', token: string, contexts?: Record<string, number>}} ResumeMessage the highest `seq` of each
 * @typedef {StartMessage | TextMessage | FlushMessage | EndMessage | CancelMessage | AckMessage} ContextMessage
 * @typedef {ContextMessage | ResumeMessage} ClientMessage
 *
 * @typedef {{type: 'ready', protocol: string, server: string, model: string, voices: string[], default_voice: string,
 *   sample_rate_hz: number, frame_ms: number, opus_pre_skip: number, session_id: string, token: string,
 *   resume_s: number}} ReadyMessage
 * @typedef {{type: 'resumed', recovered: boolean, session_id: string, contexts: Record<string, number>,
 *   message: string}} ResumedMessage `contexts`: how many messages of each the server has taken
 * @typedef {{context_id: string, seq: number}} Numbered `seq` counts the events of a context
 * @typedef {Numbered & {type: 'queued', place: number}} QueuedMessage 1 is the next
 * @typedef {Numbered & {type: 'audio', start_sample: number, data: Uint8Array}} AudioMessage
 * @typedef {Numbered & {text: string, start_char: number, end_char: number, start_ms: number, end_ms: number}} Timed
 *   characters are code points of all text of the context
 * @typedef {Timed & {type: 'word', spoken: string, estimated: boolean}} WordMessage
 * @typedef {Omit<Timed, 'text'> & {type: 'word_end'}} WordEndMessage
 * @typedef {Timed & {type: 'segment'}} SegmentMessage
 * @typedef {Numbered & {type: 'flushed', at_ms: number, id?: string}} FlushedMessage
 * @typedef {Numbered & {type: 'done', duration_ms: number}} DoneMessage
 * @typedef {Numbered & {type: 'cancelled', duration_ms: number, generated_ms: number, heard_chars: number,
 *   heard_text: string, unheard_text: string}} CancelledMessage
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
/**
 * The fields of each type of message; those with a question mark may be missing.
 * @type {Record<string, Record<string, string>>}
 */
const FIELDS = {
  ready: {
    protocol: 'string', server: 'string', model: 'string', voices: 'strings', default_voice: 'string',
    sample_rate_hz: 'whole', frame_ms: 'number', opus_pre_skip: 'whole', session_id: 'string', token: 'string',
    resume_s: 'number',
  },
  resumed: { recovered: 'boolean', session_id: 'string', contexts: 'counts', message: 'string' },
  queued: { ...NUMBERED, place: 'whole' },
  word: { ...TIMED, spoken: 'string', estimated: 'boolean' },
  word_end: PLACED,
  segment: TIMED,
  flushed: { ...NUMBERED, at_ms: 'number', id: 'string?' },
  done: { ...NUMBERED, duration_ms: 'number' },
  cancelled: {
    ...NUMBERED, duration_ms: 'number', generated_ms: 'number', heard_chars: 'whole', heard_text: 'string',
    unheard_text: 'string',
  },
  error: {
    code: 'string', message: 'string', final: 'boolean', context_id: 'string?', seq: 'whole?',
    retry_after_ms: 'number?',
  },
};

/**
 * The text frame of a message. Fields that are undefined are left out, and the server's own default holds.
 * @param {ClientMessage} message
 * @returns {string}
 */
export function encode(message) {
  return JSON.stringify(message, (_, value) => (typeof value === 'string' ? speakable(value) : value));
}

/**
 * Without lone surrogates, which no encoding can carry and no voice can speak.
 * @param {string} text
 */
export function speakable(text) {
  return text.replace(/\p{Surrogate}/gu, '');
}

/**
 * The message in one WebSocket frame; `unknown` for a type that only later servers have.
 * @param {string | ArrayBuffer} frame
 * @returns {ServerMessage}
 * @throws {ProtocolError} for a frame that is not a message
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
    throw new ProtocolError(`a text frame that is not JSON: ${frame.slice(0, 60)}`);
  }
  if (message === null || typeof message !== 'object' || typeof message.type !== 'string') {
    throw new ProtocolError(`a message without a type: ${frame.slice(0, 60)}`);
  }
  if (message.type === 'audio') throw new ProtocolError('audio in a text frame');
  if (!Object.hasOwn(FIELDS, message.type)) return unknown(message);
  for (const [name, kind] of Object.entries(FIELDS[message.type])) {
    const value = message[name];
    if (!fits(value, kind)) {
      throw new ProtocolError(`${message.type}.${name} cannot be ${String(JSON.stringify(value)).slice(0, 60)}`);
    }
  }
  return message;
}

/** Of it only what belongs to every event. @param {any} message @returns {UnknownMessage} */
function unknown({ context_id, seq }) {
  const known = fits(context_id, NUMBERED.context_id) && fits(seq, NUMBERED.seq);
  return known ? { type: 'unknown', context_id, seq } : { type: 'unknown' };
}

/** @param {ArrayBuffer} frame @returns {AudioMessage | UnknownMessage} */
function decodeAudio(frame) {
  if (frame.byteLength < HEADER_BYTES) {
    throw new ProtocolError(`an audio frame of ${frame.byteLength} bytes: its header alone has ${HEADER_BYTES}`);
  }
  const header = new DataView(frame);
  if (header.getUint8(0) !== AUDIO_KIND) return { type: 'unknown' };
  const nameBytes = header.getUint8(1);
  const dataAt = HEADER_BYTES + nameBytes;
  if (nameBytes < 1 || nameBytes > MAX_NAME_BYTES || dataAt > frame.byteLength) {
    throw new ProtocolError('an audio frame with a damaged header');
  }
  let context_id;
  try {
    context_id = new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(frame, HEADER_BYTES, nameBytes));
  } catch {
    throw new ProtocolError('an audio frame of a context whose name is not UTF-8');
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
function fits(value, kind) {
  if (kind.endsWith('?')) return value === undefined || value === null || fits(value, kind.slice(0, -1));
  if (kind === 'strings') return Array.isArray(value) && value.every((item) => typeof item === 'string');
  if (kind === 'counts') return isMap(value) && Object.values(value).every((item) => Number.isInteger(item));
  return kind === 'whole' ? Number.isInteger(value) : typeof value === kind;
}

/** @param {any} value */
function isMap(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
