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
 * @typedef {{type: 'start', context_id: string, voice?: string, format?: 'pcm' | 'opus', seed?: number,
 *   temperature?: number, max_lead_ms?: number, wait?: boolean}} StartMessage
 * @typedef {{type: 'text', context_id: string, text: string}} TextMessage
 * @typedef {{type: 'flush' | 'end' | 'cancel', context_id: string}} OrderMessage
 * @typedef {{type: 'played', context_id: string, played_ms: number}} PlayedMessage
 * @typedef {StartMessage | TextMessage | OrderMessage | PlayedMessage} ClientMessage
 *
 * @typedef {{type: 'ready', protocol: string, server: string, model: string, voices: string[], default_voice: string,
 *   sample_rate_hz: number, frame_ms: number, opus_pre_skip: number}} ReadyMessage
 * @typedef {{type: 'queued', context_id: string, place: number}} QueuedMessage 1 is the next
 * @typedef {{type: 'audio', context_id: string, seq: number, start_sample: number, data: Uint8Array}} AudioMessage
 * @typedef {{type: 'segment', context_id: string, text: string, start_ms: number, end_ms: number}} SegmentMessage
 * @typedef {{type: 'done' | 'cancelled', context_id: string, duration_ms: number}} LastMessage
 * @typedef {{type: 'error', context_id?: string, code: string, message: string, final: boolean,
 *   retry_after_ms?: number}} ErrorMessage
 * @typedef {ReadyMessage | QueuedMessage | AudioMessage | SegmentMessage | LastMessage | ErrorMessage} ServerMessage
 */

/** The fields that a message of each type must have. */
const FIELDS = {
  ready: {
    protocol: 'string', server: 'string', model: 'string', voices: 'strings', default_voice: 'string',
    sample_rate_hz: 'number', frame_ms: 'number', opus_pre_skip: 'number',
  },
  queued: { context_id: 'string', place: 'number' },
  segment: { context_id: 'string', text: 'string', start_ms: 'number', end_ms: 'number' },
  done: { context_id: 'string', duration_ms: 'number' },
  cancelled: { context_id: 'string', duration_ms: 'number' },
  error: { code: 'string', message: 'string', final: 'boolean' },
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
 * The message in one WebSocket frame, or null for a type that only later servers know.
 * @param {string | ArrayBuffer} frame
 * @returns {ServerMessage | null}
 * @throws {ProtocolError} for a frame that is not a message
 */
export function decode(frame) {
  return typeof frame === 'string' ? decodeText(frame) : decodeAudio(frame);
}

/** @param {string} frame @returns {ServerMessage | null} */
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
  if (!Object.hasOwn(FIELDS, message.type)) return null;
  for (const [name, kind] of Object.entries(FIELDS[message.type])) {
    if (!fits(message[name], kind)) {
      throw new ProtocolError(`${message.type}.${name} cannot be ${String(JSON.stringify(message[name])).slice(0, 60)}`);
    }
  }
  return message;
}

/** @param {ArrayBuffer} frame @returns {AudioMessage | null} */
function decodeAudio(frame) {
  if (frame.byteLength < HEADER_BYTES) {
    throw new ProtocolError(`an audio frame of ${frame.byteLength} bytes: its header alone has ${HEADER_BYTES}`);
  }
  const header = new DataView(frame);
  if (header.getUint8(0) !== AUDIO_KIND) return null;
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

/** @param {unknown} value @param {string} kind */
function fits(value, kind) {
  if (kind === 'strings') return Array.isArray(value) && value.every((item) => typeof item === 'string');
  return typeof value === kind;
}
