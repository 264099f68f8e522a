"""`/v1/voices` on a real socket, with keys and a fake cloning model."""

import asyncio
import io
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sayline_tts.engine.engine import Engine
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import load_voice_file
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.server.access.limits import Limits
from sayline_tts.server.http.voices import MAX_UPLOADS, MAX_UPLOADS_PER_CALLER
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.voices.url import VoiceDownloader, VoiceUrlError
from tests.engine.sounds import encode, speech, wav
from tests.fuzz import FUZZ, fuzz
from tests.server.fakes import FakeEngine
from tests.server.voice_server import SHAPE, VoiceServer, form, some_voice, voice_server

AUDIO = wav(speech(6))
LARGE = bytes(1_100_000)
KEYS = {"ann": Limits(), "bob": Limits(stored_voices=2), "eve": Limits(voices=("clara", "ann"), stored_voices=0)}


class Urls(VoiceDownloader):
    def __init__(self) -> None:
        self.downloads: list[str] = []

    async def download(self, source: str) -> bytes:
        self.downloads.append(source)
        if "bad" in source:
            raise VoiceUrlError("bad.example answered 404; check the address")
        return AUDIO


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[VoiceServer]:
    """A loopback server without keys."""
    async with voice_server(tmp_path) as running:
        yield running


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[VoiceServer]:
    async with voice_server(tmp_path, keys=KEYS) as running:
        yield running


# Creation


async def test_upload_creates_a_voice(server: VoiceServer) -> None:
    response = await server.create(file=AUDIO, name="Ann S.")
    assert response.status == 201
    made = response.json
    assert response.headers["Location"] == f"/v1/voices/{made['id']}"
    created = datetime.fromisoformat(made.pop("created"))
    assert (datetime.now(UTC) - created).total_seconds() < 60
    assert made.pop("duration_s") == pytest.approx(6, abs=0.2)
    id = made.pop("id")
    assert len(made.pop("weights")) == 64  # the model's, in hexadecimal
    assert made == {"name": "Ann S.", "consent": True, "advice": [], "model": "fake", "kind": "cloned"}
    voice = await server.voices.get("Ann S.")
    assert voice is await server.voices.get(id)


async def test_response_contains_advice(server: VoiceServer) -> None:
    advice = (await server.create(file=wav(speech(2)))).json["advice"]
    assert [each["code"] for each in advice] == ["too_short"]
    assert advice[0]["message"].startswith("The recording has only")


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"),
    [("libopus", "webm", 48_000), ("libopus", "ogg", 48_000), ("aac", "mp4", 48_000), ("libmp3lame", "mp3", 44_100)],
)
async def test_browser_recording_formats_are_accepted(
    server: VoiceServer, codec: str, container: str, rate_hz: int
) -> None:
    data = encode(speech(6, rate_hz), codec, container, rate_hz)
    response = await server.create(file=data)
    assert response.status == 201
    assert response.json["duration_s"] == pytest.approx(6, abs=0.3)


async def test_long_recording_is_cut_to_30_s(server: VoiceServer) -> None:
    made = (await server.create(file=encode(speech(50), "flac", "flac"))).json
    assert made["duration_s"] <= 30
    assert "too_long" in [each["code"] for each in made["advice"]]


async def test_voice_file_is_accepted(server: VoiceServer) -> None:
    response = await server.create(file=some_voice(25).to_bytes(), name="Ann")
    assert response.status == 201
    assert response.json["duration_s"] == pytest.approx(2)
    assert (await server.voices.get("Ann")).keys.equal(some_voice(25).keys)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the file is empty"),
        (b"hello", "the file is damaged, or not in a supported audio format"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not in a supported audio format"),
        (
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
            "not in a supported audio format",
        ),
        (wav(speech(0.2)), "too short"),
        (wav(0 * speech(5)), "is silent"),
        (b"\x80\x04\x95" + bytes(50), "not in a supported audio format"),  # a pickle
        ((1 << 62).to_bytes(8, "little") + b"{}", "not in a supported audio format"),
        ((2).to_bytes(8, "little") + b"{}", "layer 0 is missing"),
    ],
)
async def test_invalid_recordings_are_rejected_with_a_message(server: VoiceServer, data: bytes, expected: str) -> None:
    response = await server.create(file=data)
    assert (response.status, response.code) == (400, "bad_voice")
    assert expected in response.json["error"]["message"]
    assert server.voices.store is not None
    assert server.voices.store.visible("anonymous") == []


async def test_consent_is_required(server: VoiceServer) -> None:
    response = await server.create(file=AUDIO, consent=None)
    assert (response.status, response.code) == (400, "consent_required")
    assert not server.model.cloning.is_set()


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "bad_upload"),
        ({"file": AUDIO, "name": "a/b"}, 400, "bad_voice_name"),
        ({"file": AUDIO, "name": "bob"}, 409, "voice_name_taken"),
        ({"file": LARGE}, 413, "too_large"),
    ],
    ids=["nothing", "no name", "taken", "large"],
)
async def test_invalid_uploads_name_the_code(tmp_path: Path, fields: dict[str, Any], status: int, code: str) -> None:
    async with voice_server(tmp_path, max_upload_mb=1) as server:
        response = await server.create(**fields)
    assert (response.status, response.code) == (status, code)


async def test_other_content_types_are_rejected(server: VoiceServer) -> None:
    response = await server.request("POST", "", data=b"RIFF", **{"Content-Type": "audio/wav"})
    assert (response.status, response.code) == (415, "unsupported_media_type")


async def test_internal_errors_are_logged_not_sent(server: VoiceServer, caplog: pytest.LogCaptureFixture) -> None:
    server.model.next_error = RuntimeError("no memory at 0xdeadbeef")
    response = await server.create(file=AUDIO)
    assert (response.status, response.code) == (500, "internal")
    assert b"0xdead" not in response.body
    assert "0xdead" in caplog.text
    server.model.next_error = None
    assert (await server.create(file=AUDIO)).status == 201


async def test_unwritable_folder_returns_507(server: VoiceServer, tmp_path: Path) -> None:
    (tmp_path / "voices").write_text("a file where the folder should be")
    response = await server.create(file=AUDIO)
    assert (response.status, response.code) == (507, "voices_not_kept")
    assert str(tmp_path).encode() not in response.body


# From a URL


async def test_url_is_downloaded_on_loopback(tmp_path: Path) -> None:
    downloader = Urls()
    async with voice_server(tmp_path, downloader=downloader) as server:
        assert (await server.create(url="https://a.example/me.wav")).status == 201
        response = await server.create(url="https://bad.example/me.wav")
    assert (response.status, response.code) == (400, "bad_voice_url")
    assert downloader.downloads == ["https://a.example/me.wav", "https://bad.example/me.wav"]


@pytest.mark.parametrize("more", [{"voice_urls": False}, {"host": "0.0.0.0"}, {"trusted_proxies": "10.0.0.1"}])
async def test_exposed_server_downloads_only_with_voice_urls(tmp_path: Path, more: dict[str, Any]) -> None:
    for allowed, status in ((None, 403), (True, 201)):
        downloader, folder = Urls(), tmp_path / str(status)
        chosen = more if allowed is None else {**more, "voice_urls": True}
        async with voice_server(folder, downloader=downloader, keys=KEYS, **chosen) as server:
            response = await server.create("ann", url="https://a.example/me.wav")
        assert response.status == status
        assert len(downloader.downloads) == (status == 201)


async def test_loopback_urls_are_rejected(server: VoiceServer) -> None:
    for url in ("http://127.0.0.1/me.wav", "https://127.0.0.1/me.wav", "https://[::1]/", "https://169.254.169.254/"):
        response = await server.create(url=url)
        assert (response.status, response.code) == (400, "bad_voice_url")


# Ownership


async def test_list_contains_all_voices(server: VoiceServer) -> None:
    made = (await server.create(file=AUDIO, name="Ann S.")).json
    voices = (await server.request("GET", "")).json["voices"]
    assert [voice["id"] for voice in voices] == ["ann", "bob", "eve", made["id"]]
    assert voices[0] == {"id": "ann", "name": "ann", "kind": "built_in"}
    assert voices[-1] == made


async def test_voice_is_shown_by_id_and_name(server: VoiceServer) -> None:
    made = (await server.create(file=AUDIO, name="Ann S.")).json
    assert (await server.request("GET", f"/{made['id']}")).json == made
    assert (await server.request("GET", "/Ann%20S.")).json == made
    described = {"id": "bob", "name": "bob", "kind": "built_in", "description": "A tone"}
    assert (await server.request("GET", "/bob")).json == described


@pytest.mark.parametrize(
    "path", ["/v-0123456789abcdef", "/..%2Fkeys.json", "/%00", "/nobody", "/v-0123456789abcdef/export"]
)
async def test_unknown_voices_return_404(server: VoiceServer, path: str) -> None:
    response = await server.request("GET", path)
    assert (response.status, response.code) == (404, "no_such_voice")


async def test_key_sees_only_its_own_voices(keyed: VoiceServer) -> None:
    made = (await keyed.create("ann", file=AUDIO, name="Mine")).json
    for method, path in (("GET", ""), ("GET", "/export"), ("DELETE", "")):
        for name in (made["id"], "Mine"):
            response = await keyed.request(method, f"/{name}{path}", "bob")
            assert (response.status, response.code) == (404, "no_such_voice")
    assert [voice["id"] for voice in (await keyed.request("GET", "", "bob")).json["voices"]] == ["ann", "bob", "eve"]
    assert (await keyed.request("GET", f"/{made['id']}", "ann")).json == made
    assert "owner" not in made


async def test_key_is_required(keyed: VoiceServer) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/bob"), ("GET", "/x/export"), ("DELETE", "/x")):
        assert (await keyed.request(method, path, data=form(file=AUDIO) if method == "POST" else None)).status == 401


async def test_key_sees_only_allowed_builtin_voices(keyed: VoiceServer) -> None:
    assert [voice["id"] for voice in (await keyed.request("GET", "", "eve")).json["voices"]] == ["ann"]
    assert (await keyed.request("GET", "/ann", "eve")).status == 200
    assert (await keyed.request("GET", "/bob", "eve")).status == 404


async def test_voice_created_without_key_is_shared_but_not_deletable_with_key(tmp_path: Path) -> None:
    async with voice_server(tmp_path) as server:
        made = (await server.create(file=AUDIO)).json
    async with voice_server(tmp_path, keys=KEYS) as keyed:
        assert (await keyed.request("GET", f"/{made['id']}", "ann")).json == made
        response = await keyed.request("DELETE", f"/{made['id']}", "ann")
        assert (response.status, response.code) == (403, "not_yours")


async def test_voices_survive_a_restart(server: VoiceServer, tmp_path: Path) -> None:
    made = (await server.create(file=AUDIO, name="Ann S.")).json
    async with voice_server(tmp_path) as again:
        assert (await again.request("GET", "")).json["voices"][-1] == made
        await again.voices.get("Ann S.")


# Export and delete


async def test_exported_voice_can_be_uploaded_again(server: VoiceServer, tmp_path: Path) -> None:
    made = (await server.create(file=AUDIO, name="Ann S.")).json
    response = await server.request("GET", f"/{made['id']}/export")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{made["id"]}.safetensors"'
    (tmp_path / "mine.safetensors").write_bytes(response.body)
    voice = load_voice_file(tmp_path / "mine.safetensors", SHAPE)
    assert voice.keys.equal((await server.voices.get("Ann S.")).keys)
    again = (await server.create(file=response.body, name="Ann again")).json
    assert (await server.request("GET", f"/{again['id']}/export")).body == response.body


async def test_builtin_voices_cannot_be_exported_or_deleted(server: VoiceServer) -> None:
    for method, path in (("GET", "/bob/export"), ("DELETE", "/bob")):
        response = await server.request(method, path)
        assert (response.status, response.code) == (404, "no_such_voice")
    await server.voices.get("bob")


async def test_delete_removes_the_voice(server: VoiceServer, tmp_path: Path) -> None:
    made = (await server.create(file=AUDIO, name="Ann S.")).json
    response = await server.request("DELETE", f"/{made['id']}")
    assert (response.status, response.body) == (204, b"")
    for method in ("GET", "DELETE"):
        assert (await server.request(method, f"/{made['id']}")).status == 404
    assert os.listdir(tmp_path / "voices") == []
    assert (await server.create(file=AUDIO, name="Ann S.")).status == 201  # the name can be used again


# Quotas


async def test_voice_quota_of_a_key(keyed: VoiceServer) -> None:
    ids = [(await keyed.create("bob", file=AUDIO)).json["id"] for _ in range(2)]
    response = await keyed.create("bob", file=AUDIO)
    assert (response.status, response.code) == (409, "voice_quota")
    assert (await keyed.create("ann", file=AUDIO)).status == 201
    await keyed.request("DELETE", f"/{ids[0]}", "bob")
    assert (await keyed.create("bob", file=AUDIO)).status == 201
    assert (await keyed.create("eve", file=AUDIO)).code == "voice_quota"


async def test_default_quota_is_the_servers(tmp_path: Path) -> None:
    async with voice_server(tmp_path, max_stored_voices=1) as server:
        assert (await server.create(file=AUDIO)).status == 201
        assert (await server.create(file=AUDIO)).code == "voice_quota"


async def test_running_upload_counts_against_the_quota(keyed: VoiceServer) -> None:
    await keyed.create("bob", file=AUDIO)
    keyed.model.cloning.clear()
    keyed.model.may_clone.clear()
    making = asyncio.create_task(keyed.create("bob", file=AUDIO))
    await asyncio.to_thread(keyed.model.cloning.wait, 30)
    assert (await keyed.create("bob", file=AUDIO)).code == "voice_quota"
    keyed.model.may_clone.set()
    assert (await making).status == 201


async def test_concurrent_uploads_are_limited_in_total_and_per_caller(tmp_path: Path) -> None:
    keys = {str(number): Limits() for number in range(MAX_UPLOADS // MAX_UPLOADS_PER_CALLER + 1)}
    async with voice_server(tmp_path, keys=keys) as server:
        server.model.may_clone.clear()
        making = []
        for key in list(keys)[:-1]:
            making += [asyncio.create_task(server.create(key, file=AUDIO)) for _ in range(MAX_UPLOADS_PER_CALLER)]
            response = await refused_while_others_wait(server, key)
            assert response.code == "full"
        response = await refused_while_others_wait(server, list(keys)[-1])
        assert (response.status, response.code, response.headers["Retry-After"]) == (503, "full", "5")
        server.model.may_clone.set()
        assert [(await each).status for each in making] == [201] * MAX_UPLOADS
        assert (await server.create(list(keys)[-1], file=AUDIO)).status == 201


async def refused_while_others_wait(server: VoiceServer, key: str) -> Any:
    """Retry until refused, because other uploads may not have arrived yet. Requests without a file return 400."""
    while (response := await server.create(key)).status == 400:
        pass
    return response


async def test_aborted_upload_releases_its_reservation(server: VoiceServer) -> None:
    for _ in range(3 * MAX_UPLOADS):
        host, port = server.address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = "POST /v1/voices HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        writer.write(f"{head}Content-Length: 5000\r\n\r\n--x\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    while (response := await server.create(file=AUDIO)).status == 503:
        pass
    assert response.status == 201


# Effect on other listeners


class Ear:
    """A listener that counts frames and ignores other events."""

    def __init__(self) -> None:
        self.frames = 0
        self.ended = asyncio.Event()

    def on_frame(self, *_: object) -> None:
        self.frames += 1

    def on_ended(self, *_: object) -> None:
        self.ended.set()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: b""


async def test_speech_continues_during_cloning_and_after_deletion(server: VoiceServer) -> None:
    made = (await server.create(file=AUDIO, name="Ann S.")).json
    voice = await server.voices.get("Ann S.")
    server.model.cloning.clear()
    server.model.may_clone.clear()
    making = asyncio.create_task(server.create(file=AUDIO))
    await asyncio.to_thread(server.model.cloning.wait, 30)
    engine = FakeEngine()
    engine_loop = EngineLoop(engine)
    engine_loop.start()
    utterance = Utterance(voice, Sampling(0.3, None, -4.0, 1, 0))
    ear = Ear()
    engine_loop.submit(utterance, cast(Any, ear))
    utterance.add(engine.fake_model.segment("one two three"))
    assert (await server.request("DELETE", f"/{made['id']}")).status == 204
    utterance.add(engine.fake_model.segment("four five"))
    utterance.end()
    engine_loop.wake()
    await ear.ended.wait()
    assert ear.frames == 10
    assert not making.done()
    server.model.may_clone.set()
    assert (await making).status == 201
    await engine_loop.stop()


# With the embedded model


async def test_embedded_model_speaks_with_an_uploaded_voice(tmp_path: Path, model: Model) -> None:
    data = encode(speech(6, 48_000), "libopus", "webm", 48_000)
    async with voice_server(tmp_path, cast(Any, _Embedded(model))) as server:
        response = await server.create(file=data, name="Me")
        assert response.status == 201
        assert response.json["model"] == "embedded"
        voice = await server.voices.get("Me")
    assert voice.positions > 40
    engine = Engine(model, slots=1)
    utterance = Utterance(voice, Sampling(0.3, None, -4.0, 1, 0))
    utterance.add(model.segment("Hello there."))
    utterance.end()
    engine.add(utterance)
    batch = engine.schedule()
    (sound,) = engine.run(batch).audio
    assert sound is not None
    assert np.isfinite(sound.result(30)).all()
    engine.close()


class _Embedded:
    """The real model, with the attribute that `voice_server` expects."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.may_clone = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


# Fuzzing


@fuzz
@given(
    files=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.builds(lambda data, at, piece: _changed(data, at, piece), st.just(AUDIO), st.floats(0, 1), st.binary()),
            st.builds(
                lambda data, at, piece: _changed(data, at, piece),
                st.just(some_voice().to_bytes()),
                st.floats(0, 1),
                st.binary(),
            ),
        ),
        min_size=1,
        max_size=8,
    ),
    names=st.lists(st.text(max_size=80), min_size=8, max_size=8),
)
@settings(
    max_examples=20 * FUZZ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_arbitrary_uploads_are_stored_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, files: list[bytes], names: list[str]
) -> None:
    async def send_all() -> None:
        folder = tmp_path_factory.mktemp("fuzz")
        async with voice_server(folder, max_stored_voices=1000) as server:
            for data, name in zip(files, names, strict=False):
                response = await server.create(file=data, name=name)
                assert response.status in (201, 400, 409), response
                if response.status == 201:
                    assert (await server.voices.get(response.json["id"])).positions > 0
                else:
                    assert response.json["error"]["message"]
            kept = {voice["id"] for voice in (await server.request("GET", "")).json["voices"]} - {"ann", "bob", "eve"}
        found = {path.stem for path in (folder / "voices").glob("*")} if (folder / "voices").exists() else set()
        assert kept == found

    asyncio.run(send_all())


def _changed(data: bytes, at: float, piece: bytes) -> bytes:
    file = io.BytesIO(data)
    file.seek(int(at * len(data)))
    file.write(piece)
    return file.getvalue()
