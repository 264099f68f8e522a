import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ProtocolError } from '../errors.js';
import { decode, encode } from '../wire.js';

const golden = JSON.parse(readFileSync(new URL('../../../tests/wire/v1.json', import.meta.url), 'utf8'));
const bytes = (base64) => Uint8Array.from(Buffer.from(base64, 'base64')).buffer;

for (const { name, direction, message, json, binary } of golden) {
  if (direction === 'server') {
    test(`a server message is decoded: ${name}`, () => {
      const expected = binary ? { ...message, data: new Uint8Array(bytes(message.data)) } : message;
      assert.deepEqual(decode(binary ? bytes(json) : json), expected);
    });
  } else {
    test(`a client message is encoded as in the golden file: ${name}`, () => {
      assert.deepEqual(JSON.parse(encode(message)), JSON.parse(json));
    });
  }
}

test('undefined fields are omitted', () => {
  assert.equal(encode({ type: 'start', context_id: 'a', voice: undefined }), '{"type":"start","context_id":"a"}');
});

test('lone surrogates are removed from text', () => {
  const text = 'half \ud83d of one, \ude00 other half, whole \u{1f600}';
  assert.equal(JSON.parse(encode({ type: 'text', context_id: 'a', text })).text, 'half  of one,  other half, whole \u{1f600}');
});

test('unknown types and kinds are decoded as unknown', () => {
  assert.deepEqual(decode('{"type":"viseme","context_id":"a","seq":3}'), { type: 'unknown', context_id: 'a', seq: 3 });
  assert.equal(decode('{"type":"constructor"}').type, 'unknown');
  assert.deepEqual(decode('{"type":"viseme","context_id":1,"seq":"a"}'), { type: 'unknown' });
  assert.equal(decode(new Uint8Array(20).fill(2).buffer).type, 'unknown');
});

const header = (nameBytes) => [1, nameBytes, ...Array(14).fill(0)];
const invalid = {
  'not JSON': '{',
  'not an object': 'null',
  'no type': '{"context_id":"a"}',
  'a type that is a number': '{"type":3}',
  'a missing field': '{"type":"done","context_id":"a"}',
  'a field of the wrong type': '{"type":"done","context_id":"a","duration_ms":"80"}',
  'a usage that is not an object': '{"type":"done","context_id":"a","seq":0,"duration_ms":80,"usage":[1]}',
  'a usage with a missing count': '{"type":"done","context_id":"a","seq":0,"duration_ms":80,"usage":{"taken_chars":1}}',
  'voices that are not strings': JSON.stringify({ ...golden.find((entry) => entry.name === 'ready').message, voices: [1] }),
  'an optional field of the wrong type': '{"type":"error","code":"a","message":"b","final":true,"seq":"1"}',
  'counts that are not numbers': '{"type":"resumed","recovered":true,"session_id":"a","contexts":{"a":"b"},"message":""}',
  'counts that are not an object': '{"type":"resumed","recovered":true,"session_id":"a","contexts":[1],"message":""}',
  'a position that is not an integer': '{"type":"queued","context_id":"a","seq":0,"place":1.5}',
  'audio in a text frame': '{"type":"audio","context_id":"a","seq":0,"start_sample":0,"data":""}',
  'no bytes': new ArrayBuffer(0),
  'half a header': new Uint8Array(header(1).slice(0, 9)).buffer,
  'no context id': new Uint8Array([...header(0), 97]).buffer,
  'a truncated context id': new Uint8Array([...header(5), 97, 97]).buffer,
  'a context id that is too long': new Uint8Array([...header(65), ...Array(80).fill(97)]).buffer,
  'a context id that is not UTF-8': new Uint8Array([...header(1), 255]).buffer,
};
for (const [name, frame] of Object.entries(invalid)) {
  test(`an invalid frame is a protocol error: ${name}`, () => {
    assert.throws(() => decode(frame), ProtocolError);
  });
}
