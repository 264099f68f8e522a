import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';

import { Refused, VoiceFailed } from '../errors.js';
import { Voices } from '../voices.js';

/** @type {{method: string, url: string, key?: string, body: string}[]} */
let asked;
let answer;
let server;
let address;

before(async () => {
  server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    asked.push({ method: request.method, url: request.url, key: request.headers.authorization, body });
    response.writeHead(answer.status).end(answer.body);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  address = `ws://127.0.0.1:${server.address().port}/v1/stream`;
});
after(() => server.close());
beforeEach(() => {
  asked = [];
  answer = { status: 200, body: '{}' };
});

const voices = (key) => new Voices(address, async () => key);
const ME = { id: 'v1', name: 'Me', kind: 'cloned' };

test('voices are listed with the key', async () => {
  answer.body = JSON.stringify({ voices: [ME] });
  assert.deepEqual(await voices('secret').list(), [ME]);
  assert.deepEqual(asked, [{ method: 'GET', url: '/v1/voices', key: 'Bearer secret', body: '' }]);
});

test('a recording is sent as a form', async () => {
  answer = { status: 201, body: JSON.stringify(ME) };
  assert.deepEqual(await voices().clone(new Blob(['RIFF']), { name: 'Me', consent: true }), ME);
  const [{ method, url, key, body }] = asked;
  assert.deepEqual([method, url, key], ['POST', '/v1/voices', undefined]);
  for (const part of ['name="consent"\r\n\r\ntrue', 'name="name"\r\n\r\nMe', 'name="file"', 'RIFF']) assert.ok(body.includes(part));
});

test('the name may be left to the server', async () => {
  await voices().clone(new Blob(['RIFF']), { consent: true });
  assert.ok(!asked[0].body.includes('name="name"'));
});

test('nothing is sent without consent', async () => {
  await assert.rejects(voices().clone(new Blob(['RIFF']), { consent: false }), { name: 'VoiceFailed', code: 'consent' });
  assert.deepEqual(asked, []);
});

test('a voice is downloaded and deleted by an escaped name', async () => {
  answer.body = 'weights';
  assert.equal(await (await voices().download('my/voice')).text(), 'weights');
  answer = { status: 204, body: '' };
  await voices().delete('my/voice');
  assert.deepEqual(asked.map(({ method, url }) => `${method} ${url}`), [
    'GET /v1/voices/my%2Fvoice/export', 'DELETE /v1/voices/my%2Fvoice',
  ]);
});

test("a refusal has the server's code and message", async () => {
  answer = { status: 404, body: JSON.stringify({ error: { code: 'no_such_voice', message: 'no cloned voice' } }) };
  await assert.rejects(voices().delete('x'), new VoiceFailed('no_such_voice', 'no cloned voice'));
});

test('the answer of another server is passed on', async () => {
  answer = { status: 502, body: 'Bad Gateway' };
  await assert.rejects(voices().list(), { code: 'http_502', message: 'Bad Gateway' });
  answer = { status: 502, body: '' };
  await assert.rejects(voices().list(), { code: 'http_502', message: 'the server answered 502' });
});

test('a server that is not there', async () => {
  const nobody = new Voices('ws://127.0.0.1:9/v1/stream', async () => undefined);
  await assert.rejects(nobody.list(), Refused);
});
