import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ProtocolError } from '../errors.js';
import { decode, encode } from '../wire.js';

const golden = JSON.parse(readFileSync(new URL('../../../tests/wire/v1.json', import.meta.url), 'utf8'));
const bytes = (base64) => Uint8Array.from(Buffer.from(base64, 'base64')).buffer;

for (const { name, direction, message, json, binary } of golden) {
  if (direction === 'server') {
    test(`what the server says is understood: ${name}`, () => {
      const expected = binary ? { ...message, data: new Uint8Array(bytes(message.data)) } : message;
      assert.deepEqual(decode(binary ? bytes(json) : json), expected);
    });
  } else {
    test(`what the client says is what the golden file holds: ${name}`, () => {
      assert.deepEqual(JSON.parse(encode(message)), JSON.parse(json));
    });
  }
}

test('a field that is undefined is left out', () => {
  assert.equal(encode({ type: 'start', context_id: 'a', voice: undefined }), '{"type":"start","context_id":"a"}');
});

test('text goes out without lone surrogates', () => {
  const text = 'half \ud83d of one, \ude00 other half, whole \u{1f600}';
  assert.equal(JSON.parse(encode({ type: 'text', context_id: 'a', text })).text, 'half  of one,  other half, whole \u{1f600}');
});

test('types and kinds of a later server are unknown', () => {
  assert.deepEqual(decode('{"type":"viseme","context_id":"a","seq":3}'), { type: 'unknown', context_id: 'a', seq: 3 });
  assert.equal(decode('{"type":"constructor"}').type, 'unknown');
  assert.deepEqual(decode('{"type":"viseme","context_id":1,"seq":"a"}'), { type: 'unknown' });
  assert.equal(decode(new Uint8Array(20).fill(2).buffer).type, 'unknown');
});

const header = (nameBytes) => [1, nameBytes, ...Array(14).fill(0)];
const damaged = {
  'text that is not JSON': '{',
  'no object': 'null',
  'no type': '{"context_id":"a"}',
  'a type that is a number': '{"type":3}',
  'a field missing': '{"type":"done","context_id":"a"}',
  'a field of another type': '{"type":"done","context_id":"a","duration_ms":"80"}',
  'voices that are no names': JSON.stringify({ ...golden.find((entry) => entry.name === 'ready').message, voices: [1] }),
  'an optional field of another type': '{"type":"error","code":"a","message":"b","final":true,"seq":"1"}',
  'counts that are none': '{"type":"resumed","recovered":true,"session_id":"a","contexts":{"a":"b"},"message":""}',
  'no counts': '{"type":"resumed","recovered":true,"session_id":"a","contexts":[1],"message":""}',
  'a count that is no whole number': '{"type":"queued","context_id":"a","seq":0,"place":1.5}',
  'audio in a text frame': '{"type":"audio","context_id":"a","seq":0,"start_sample":0,"data":""}',
  'no bytes': new ArrayBuffer(0),
  'half a header': new Uint8Array(header(1).slice(0, 9)).buffer,
  'no name': new Uint8Array([...header(0), 97]).buffer,
  'a name that is cut off': new Uint8Array([...header(5), 97, 97]).buffer,
  'a name that is too long': new Uint8Array([...header(65), ...Array(80).fill(97)]).buffer,
  'a name that is not UTF-8': new Uint8Array([...header(1), 255]).buffer,
};
for (const [name, frame] of Object.entries(damaged)) {
  test(`a damaged frame is a protocol error: ${name}`, () => {
    assert.throws(() => decode(frame), ProtocolError);
  });
}
