"""`/v1/voices` on a real socket, with keys, and a model that makes voices at once."""

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
from sayline_tts.server.http.voices import MAX_UPLOADS, MAX_UPLOADS_OF_ONE
from sayline_tts.server.synthesis.engine_loop import Worker
from sayline_tts.server.voices.url import VoiceUrlError, VoiceUrls
from tests.engine.sounds import encode, speech, wav
from tests.fuzz import FUZZ, fuzz
from tests.server.cloners import SHAPE, Server, form, some_voice, voice_server
from tests.server.fakes import FakeEngine

AUDIO = wav(speech(6))
LARGE = bytes(1_100_000)
KEYS = {"ann": Limits(), "bob": Limits(stored_voices=2), "eve": Limits(voices=("clara", "ann"), stored_voices=0)}


class Urls(VoiceUrls):
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fetch(self, source: str) -> bytes:
        self.asked.append(source)
        if "bad" in source:
            raise VoiceUrlError("bad.example answered 404; check the address")
        return AUDIO


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Without keys, on this machine alone."""
    async with voice_server(tmp_path) as running:
        yield running


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[Server]:
    async with voice_server(tmp_path, keys=KEYS) as running:
        yield running


# Making


async def test_an_upload_becomes_a_voice_to_speak_with(server: Server) -> None:
    answer = await server.make(file=AUDIO, name="Ann S.")
    assert answer.status == 201
    made = answer.json
    assert answer.headers["Location"] == f"/v1/voices/{made['id']}"
    created = datetime.fromisoformat(made.pop("created"))
    assert (datetime.now(UTC) - created).total_seconds() < 60
    assert made.pop("duration_s") == pytest.approx(6, abs=0.2)
    id = made.pop("id")
    assert made == {"name": "Ann S.", "consent": True, "advice": [], "model": "fake", "kind": "cloned"}
    voice = await server.voices.get("Ann S.")
    assert voice is await server.voices.get(id)


async def test_advice_comes_back_with_the_voice(server: Server) -> None:
    advice = (await server.make(file=wav(speech(2)))).json["advice"]
    assert [each["code"] for each in advice] == ["too_short"]
    assert advice[0]["message"].startswith("There are only")


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"),
    [("libopus", "webm", 48_000), ("libopus", "ogg", 48_000), ("aac", "mp4", 48_000), ("libmp3lame", "mp3", 44_100)],
)
async def test_what_browsers_record_becomes_a_voice(server: Server, codec: str, container: str, rate_hz: int) -> None:
    data = encode(speech(6, rate_hz), codec, container, rate_hz)
    answer = await server.make(file=data)
    assert answer.status == 201
    assert answer.json["duration_s"] == pytest.approx(6, abs=0.3)


async def test_only_the_first_30_s_of_a_long_recording_are_used(server: Server) -> None:
    made = (await server.make(file=encode(speech(50), "flac", "flac"))).json
    assert made["duration_s"] <= 30
    assert "too_long" in [each["code"] for each in made["advice"]]


async def test_a_voice_file_is_a_voice(server: Server) -> None:
    answer = await server.make(file=some_voice(25).to_bytes(), name="Ann")
    assert answer.status == 201
    assert answer.json["duration_s"] == pytest.approx(2)
    assert (await server.voices.get("Ann")).keys.equal(some_voice(25).keys)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b"hello", "the file is damaged, or not audio in a format known here"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not audio in a format known here"),
        (
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
            "not audio",
        ),
        (wav(speech(0.2)), "too short"),
        (wav(0 * speech(5)), "is silent"),
        (b"\x80\x04\x95" + bytes(50), "not audio"),  # a pickle
        ((1 << 62).to_bytes(8, "little") + b"{}", "not audio"),
        ((2).to_bytes(8, "little") + b"{}", "layer 0 is missing"),
    ],
)
async def test_what_is_no_voice_is_refused_in_words(server: Server, data: bytes, told: str) -> None:
    answer = await server.make(file=data)
    assert (answer.status, answer.code) == (400, "bad_voice")
    assert told in answer.json["error"]["message"]
    assert server.voices.store is not None
    assert server.voices.store.visible("anonymous") == []


async def test_without_consent_no_voice_is_made(server: Server) -> None:
    answer = await server.make(file=AUDIO, consent=None)
    assert (answer.status, answer.code) == (400, "consent_required")
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
async def test_uploads_that_cannot_be_used_say_why(
    tmp_path: Path, fields: dict[str, Any], status: int, code: str
) -> None:
    async with voice_server(tmp_path, max_upload_mb=1) as server:
        answer = await server.make(**fields)
    assert (answer.status, answer.code) == (status, code)


async def test_other_bodies_are_refused(server: Server) -> None:
    answer = await server.ask("POST", "", data=b"RIFF", **{"Content-Type": "audio/wav"})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


async def test_a_fault_of_ours_is_not_told_to_strangers(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.model.fault = RuntimeError("no memory at 0xdeadbeef")
    answer = await server.make(file=AUDIO)
    assert (answer.status, answer.code) == (500, "internal")
    assert b"0xdead" not in answer.body
    assert "0xdead" in caplog.text
    server.model.fault = None
    assert (await server.make(file=AUDIO)).status == 201


async def test_a_folder_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "voices").write_text("a file where the folder should be")
    answer = await server.make(file=AUDIO)
    assert (answer.status, answer.code) == (507, "voices_not_kept")
    assert str(tmp_path).encode() not in answer.body


# From an address


async def test_a_voice_is_fetched_where_nobody_else_can_ask(tmp_path: Path) -> None:
    urls = Urls()
    async with voice_server(tmp_path, urls=urls) as server:
        assert (await server.make(url="https://a.example/me.wav")).status == 201
        answer = await server.make(url="https://bad.example/me.wav")
    assert (answer.status, answer.code) == (400, "bad_voice_url")
    assert urls.asked == ["https://a.example/me.wav", "https://bad.example/me.wav"]


@pytest.mark.parametrize("more", [{"voice_urls": False}, {"host": "0.0.0.0"}, {"trusted_proxies": "10.0.0.1"}])
async def test_over_the_network_nothing_is_fetched_unless_that_is_asked_for(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    for allowed, status in ((None, 403), (True, 201)):
        urls, folder = Urls(), tmp_path / str(status)
        chosen = more if allowed is None else {**more, "voice_urls": True}
        async with voice_server(folder, urls=urls, keys=KEYS, **chosen) as server:
            answer = await server.make("ann", url="https://a.example/me.wav")
        assert answer.status == status
        assert len(urls.asked) == (status == 201)


async def test_no_address_of_this_machine_is_fetched(server: Server) -> None:
    for url in ("http://127.0.0.1/me.wav", "https://127.0.0.1/me.wav", "https://[::1]/", "https://169.254.169.254/"):
        answer = await server.make(url=url)
        assert (answer.status, answer.code) == (400, "bad_voice_url")


# Whose voices


async def test_all_voices_are_listed(server: Server) -> None:
    made = (await server.make(file=AUDIO, name="Ann S.")).json
    voices = (await server.ask("GET", "")).json["voices"]
    assert [voice["id"] for voice in voices] == ["ann", "bob", "eve", made["id"]]
    assert voices[0] == {"id": "ann", "name": "ann", "kind": "built_in"}
    assert voices[-1] == made


async def test_one_voice_is_shown_by_id_and_by_name(server: Server) -> None:
    made = (await server.make(file=AUDIO, name="Ann S.")).json
    assert (await server.ask("GET", f"/{made['id']}")).json == made
    assert (await server.ask("GET", "/Ann%20S.")).json == made
    assert (await server.ask("GET", "/bob")).json == {"id": "bob", "name": "bob", "kind": "built_in"}


@pytest.mark.parametrize(
    "path", ["/v-0123456789abcdef", "/..%2Fkeys.json", "/%00", "/nobody", "/v-0123456789abcdef/export"]
)
async def test_voices_that_are_not_there(server: Server, path: str) -> None:
    answer = await server.ask("GET", path)
    assert (answer.status, answer.code) == (404, "no_such_voice")


async def test_a_key_sees_only_its_own_voices(keyed: Server) -> None:
    made = (await keyed.make("ann", file=AUDIO, name="Mine")).json
    for method, path in (("GET", ""), ("GET", "/export"), ("DELETE", "")):
        for name in (made["id"], "Mine"):
            answer = await keyed.ask(method, f"/{name}{path}", "bob")
            assert (answer.status, answer.code) == (404, "no_such_voice")
    assert [voice["id"] for voice in (await keyed.ask("GET", "", "bob")).json["voices"]] == ["ann", "bob", "eve"]
    assert (await keyed.ask("GET", f"/{made['id']}", "ann")).json == made
    assert "owner" not in made


async def test_without_a_key_there_is_nothing_to_see(keyed: Server) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/bob"), ("GET", "/x/export"), ("DELETE", "/x")):
        assert (await keyed.ask(method, path, data=form(file=AUDIO) if method == "POST" else None)).status == 401


async def test_a_key_sees_only_the_models_voices_that_it_may_use(keyed: Server) -> None:
    assert [voice["id"] for voice in (await keyed.ask("GET", "", "eve")).json["voices"]] == ["ann"]
    assert (await keyed.ask("GET", "/ann", "eve")).status == 200
    assert (await keyed.ask("GET", "/bob", "eve")).status == 404


async def test_a_voice_made_without_a_key_is_for_all_but_only_its_makers_delete_it(tmp_path: Path) -> None:
    async with voice_server(tmp_path) as server:
        made = (await server.make(file=AUDIO)).json
    async with voice_server(tmp_path, keys=KEYS) as keyed:
        assert (await keyed.ask("GET", f"/{made['id']}", "ann")).json == made
        answer = await keyed.ask("DELETE", f"/{made['id']}", "ann")
        assert (answer.status, answer.code) == (403, "not_yours")


async def test_voices_are_there_after_a_restart(server: Server, tmp_path: Path) -> None:
    made = (await server.make(file=AUDIO, name="Ann S.")).json
    async with voice_server(tmp_path) as again:
        assert (await again.ask("GET", "")).json["voices"][-1] == made
        await again.voices.get("Ann S.")


# Export and deletion


async def test_an_exported_voice_is_a_voice_file_that_can_be_sent_again(server: Server, tmp_path: Path) -> None:
    made = (await server.make(file=AUDIO, name="Ann S.")).json
    answer = await server.ask("GET", f"/{made['id']}/export")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{made["id"]}.safetensors"'
    (tmp_path / "mine.safetensors").write_bytes(answer.body)
    voice = load_voice_file(tmp_path / "mine.safetensors", SHAPE)
    assert voice.keys.equal((await server.voices.get("Ann S.")).keys)
    again = (await server.make(file=answer.body, name="Ann again")).json
    assert (await server.ask("GET", f"/{again['id']}/export")).body == answer.body


async def test_the_models_own_voices_are_not_exported_or_deleted(server: Server) -> None:
    for method, path in (("GET", "/bob/export"), ("DELETE", "/bob")):
        answer = await server.ask(method, path)
        assert (answer.status, answer.code) == (404, "no_such_voice")
    await server.voices.get("bob")


async def test_a_deleted_voice_is_gone(server: Server, tmp_path: Path) -> None:
    made = (await server.make(file=AUDIO, name="Ann S.")).json
    answer = await server.ask("DELETE", f"/{made['id']}")
    assert (answer.status, answer.body) == (204, b"")
    for method in ("GET", "DELETE"):
        assert (await server.ask(method, f"/{made['id']}")).status == 404
    assert os.listdir(tmp_path / "voices") == []
    assert (await server.make(file=AUDIO, name="Ann S.")).status == 201  # the name is free again


# Quota and bounds


async def test_a_key_keeps_as_many_voices_as_it_may(keyed: Server) -> None:
    ids = [(await keyed.make("bob", file=AUDIO)).json["id"] for _ in range(2)]
    answer = await keyed.make("bob", file=AUDIO)
    assert (answer.status, answer.code) == (409, "voice_quota")
    assert (await keyed.make("ann", file=AUDIO)).status == 201
    await keyed.ask("DELETE", f"/{ids[0]}", "bob")
    assert (await keyed.make("bob", file=AUDIO)).status == 201
    assert (await keyed.make("eve", file=AUDIO)).code == "voice_quota"


async def test_without_a_limit_of_its_own_the_servers_counts(tmp_path: Path) -> None:
    async with voice_server(tmp_path, max_stored_voices=1) as server:
        assert (await server.make(file=AUDIO)).status == 201
        assert (await server.make(file=AUDIO)).code == "voice_quota"


async def test_a_voice_on_its_way_counts(keyed: Server) -> None:
    await keyed.make("bob", file=AUDIO)
    keyed.model.cloning.clear()
    keyed.model.may_clone.clear()
    making = asyncio.create_task(keyed.make("bob", file=AUDIO))
    await asyncio.to_thread(keyed.model.cloning.wait, 30)
    assert (await keyed.make("bob", file=AUDIO)).code == "voice_quota"
    keyed.model.may_clone.set()
    assert (await making).status == 201


async def test_few_voices_are_made_at_a_time_and_fewer_for_one(tmp_path: Path) -> None:
    keys = {str(number): Limits() for number in range(MAX_UPLOADS // MAX_UPLOADS_OF_ONE + 1)}
    async with voice_server(tmp_path, keys=keys) as server:
        server.model.may_clone.clear()
        making = []
        for key in list(keys)[:-1]:
            making += [asyncio.create_task(server.make(key, file=AUDIO)) for _ in range(MAX_UPLOADS_OF_ONE)]
            answer = await refused_while_others_wait(server, key)
            assert answer.code == "full"
        answer = await refused_while_others_wait(server, list(keys)[-1])
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "full", "5")
        server.model.may_clone.set()
        assert [(await each).status for each in making] == [201] * MAX_UPLOADS
        assert (await server.make(list(keys)[-1], file=AUDIO)).status == 201


async def refused_while_others_wait(server: Server, key: str) -> Any:
    """The first refusal: those before may not have arrived yet. What is let in meanwhile has no file."""
    while (answer := await server.make(key)).status == 400:
        pass
    return answer


async def test_who_goes_away_while_sending_leaves_room(server: Server) -> None:
    for _ in range(3 * MAX_UPLOADS):
        host, port = server.address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = "POST /v1/voices HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        writer.write(f"{head}Content-Length: 5000\r\n\r\n--x\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    while (answer := await server.make(file=AUDIO)).status == 503:
        pass
    assert answer.status == 201


# Others notice nothing


class Ear:
    """A listener who counts frames; all else that it is told is nothing to it."""

    def __init__(self) -> None:
        self.frames = 0
        self.ended = asyncio.Event()

    def on_frame(self, *_: object) -> None:
        self.frames += 1

    def on_ended(self, *_: object) -> None:
        self.ended.set()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: b""


async def test_speech_goes_on_while_a_voice_is_made_and_after_it_is_deleted(server: Server) -> None:
    made = (await server.make(file=AUDIO, name="Ann S.")).json
    voice = await server.voices.get("Ann S.")
    server.model.cloning.clear()
    server.model.may_clone.clear()
    making = asyncio.create_task(server.make(file=AUDIO))
    await asyncio.to_thread(server.model.cloning.wait, 30)
    engine = FakeEngine()
    worker = Worker(engine)
    worker.start()
    utterance = Utterance(voice, Sampling(0.3, None, -4.0, 1, 0))
    ear = Ear()
    worker.speak(utterance, cast(Any, ear))
    utterance.add(engine.fake_model.segment("one two three"))
    assert (await server.ask("DELETE", f"/{made['id']}")).status == 204
    utterance.add(engine.fake_model.segment("four five"))
    utterance.end()
    worker.wake()
    await ear.ended.wait()
    assert ear.frames == 10
    assert not making.done()
    server.model.may_clone.set()
    assert (await making).status == 201
    await worker.stop()


# With the voice that comes along


async def test_the_embedded_model_speaks_with_an_uploaded_voice(tmp_path: Path, model: Model) -> None:
    data = encode(speech(6, 48_000), "libopus", "webm", 48_000)
    async with voice_server(tmp_path, cast(Any, _Embedded(model))) as server:
        answer = await server.make(file=data, name="Me")
        assert answer.status == 201
        assert answer.json["model"] == "embedded"
        voice = await server.voices.get("Me")
    assert voice.positions > 60
    engine = Engine(model, slots=1)
    utterance = Utterance(voice, Sampling(0.3, None, -4.0, 1, 0))
    utterance.add(model.segment("Hello there."))
    utterance.end()
    engine.add(utterance)
    batch = engine.schedule()
    (sound,) = engine.run(batch).sounds
    assert sound is not None
    assert np.isfinite(sound.result(30)).all()
    engine.close()


class _Embedded:
    """The real model, which needs no holding up."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.may_clone = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


# Anything at all


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
def test_whatever_is_sent_is_kept_whole_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, files: list[bytes], names: list[str]
) -> None:
    async def send_all() -> None:
        folder = tmp_path_factory.mktemp("fuzz")
        async with voice_server(folder, max_stored_voices=1000) as server:
            for data, name in zip(files, names, strict=False):
                answer = await server.make(file=data, name=name)
                assert answer.status in (201, 400, 409), answer
                if answer.status == 201:
                    assert (await server.voices.get(answer.json["id"])).positions > 0
                else:
                    assert answer.json["error"]["message"]
            kept = {voice["id"] for voice in (await server.ask("GET", "")).json["voices"]} - {"ann", "bob", "eve"}
        found = {path.stem for path in (folder / "voices").glob("*")} if (folder / "voices").exists() else set()
        assert kept == found

    asyncio.run(send_all())


def _changed(data: bytes, at: float, piece: bytes) -> bytes:
    file = io.BytesIO(data)
    file.seek(int(at * len(data)))
    file.write(piece)
    return file.getvalue()
