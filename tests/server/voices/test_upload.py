"""Upload forms from browsers, curl and attackers, on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.errors import InputError
from sayline_tts.server.voices.upload import MAX_FIELDS, MAX_TEXT_BYTES, UploadTooSlow, read_upload
from tests.fuzz import FUZZ, fuzz
from tests.server.stream_client import serving
from tests.server.voice_server import form

MAX_BYTES = 100_000
LINE = "\r\n"


async def _read(request: web.Request) -> web.Response:
    try:
        upload = await read_upload(request, MAX_BYTES, limit_s=30)
    except InputError as error:
        return web.Response(status=400, text=f"{error.code}: {error}")
    size = "no file" if upload.file is None else f"{len(upload.file)} bytes"
    return web.Response(text=f"{size}, url {upload.url!r}, name {upload.name!r}")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.post("/", _read)])
    async with serving(app) as where:
        yield where


async def send(address: str, data: Any, **headers: str) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://{address}/", data=data, headers=named) as answer,
    ):
        return answer.status, await answer.text()


async def send_parts(address: str, *parts: str, tail: str = "--x--\r\n", boundary: str = "x") -> tuple[int, str]:
    """Send raw parts, each as headers, an empty line and content."""
    body = "".join(f"--x{LINE}{part}{LINE}" for part in parts) + tail
    kind = f"multipart/form-data; boundary={boundary}"
    return await send(address, body.encode("utf-8", "surrogateescape"), Content_Type=kind)


def field(name: str, content: str, *more: str) -> str:
    return LINE.join([f'Content-Disposition: form-data; name="{name}"', *more, "", content])


async def test_form_with_file(address: str) -> None:
    assert await send(address, form(file=b"x" * 5000, name="Ann")) == (200, "5000 bytes, url '', name 'Ann'")


async def test_form_with_url(address: str) -> None:
    assert await send(address, form(url=" https://a/b ")) == (200, "no file, url 'https://a/b', name ''")


async def test_field_order_is_free_and_unknown_fields_are_ignored(address: str) -> None:
    parts = [field("mood", "merry"), field("file", "abc"), field("consent", "yes"), field("name", "Zoë")]
    assert await send_parts(address, *parts) == (200, "3 bytes, url '', name 'Zoë'")


@pytest.mark.parametrize("consent", ["true", "TRUE", "yes", "1", "on", " true "])
async def test_true_values_of_consent(address: str, consent: str) -> None:
    assert (await send(address, form(file=b"x", consent=consent)))[0] == 200


@pytest.mark.parametrize("consent", [None, "", "false", "no", "0", "maybe", "true false"])
async def test_consent_is_required(address: str, consent: str | None) -> None:
    status, message = await send(address, form(file=b"x", consent=consent))
    assert status == 400
    assert message.startswith("consent_required: consent is missing")


@pytest.mark.parametrize("fields", [{}, {"file": b"x", "url": "https://a/b"}, {"url": "  "}])
async def test_exactly_one_of_file_and_url_is_required(address: str, fields: dict[str, Any]) -> None:
    status, message = await send(address, form(**fields))
    assert status == 400
    assert message.startswith("bad_upload: send either a recording")


async def test_invalid_utf8_in_name_is_replaced(address: str) -> None:
    assert await send(address, form(file=b"x", name=b"\xff\xfe")) == (200, "1 bytes, url '', name '\ufffd\ufffd'")


async def test_empty_file_is_passed_on(address: str) -> None:
    assert (await send(address, form(file=b"")))[1] == "0 bytes, url '', name ''"


# Bounds


async def test_file_size_limit_is_exact(address: str) -> None:
    assert (await send(address, form(file=b"x" * MAX_BYTES)))[0] == 200
    status, message = await send(address, form(file=b"x" * (MAX_BYTES + 1)))
    assert (status, message) == (
        400,
        f"too_large: upload larger than {MAX_BYTES} bytes; 30 s of speech are enough, also as MP3 or Opus",
    )


async def test_oversized_content_length_is_rejected_without_reading(address: str) -> None:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST / HTTP/1.1{LINE}Host: a{LINE}Content-Type: multipart/form-data; boundary=x{LINE}"
    writer.write(f"{head}Content-Length: 10000000{LINE}{LINE}".encode())
    assert b"400" in await reader.readline()  # although no part of the body was sent
    writer.close()
    await writer.wait_closed()


async def test_oversized_chunked_body_is_rejected_while_reading(address: str) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield f"--x{LINE}{field('file', '')}".encode()
        while taken < 100 * MAX_BYTES:
            taken += 10_000
            yield b"y" * 10_000

    try:
        status, message = await send(address, endless(), Content_Type="multipart/form-data; boundary=x")
        assert (status, message[:9]) == (400, "too_large")
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
        pass  # the server may hang up while we are still sending


async def test_text_field_size_is_limited(address: str) -> None:
    status, message = await send(address, form(file=b"x", name="y" * (MAX_TEXT_BYTES + 1)))
    assert (status, message[:9]) == (400, "too_large")


async def test_number_of_fields_is_limited(address: str) -> None:
    status, message = await send_parts(address, *(field(f"f{number}", "") for number in range(MAX_FIELDS + 1)))
    assert (status, message) == (
        400,
        f"bad_upload: the form has more than {MAX_FIELDS} fields; send only those documented at /docs",
    )


async def test_slow_upload_times_out(address: str) -> None:
    app = web.Application()
    message: list[str] = []

    async def read(request: web.Request) -> web.Response:
        with pytest.raises(UploadTooSlow) as error:
            await read_upload(request, MAX_BYTES, limit_s=0)
        message.append(str(error.value))
        return web.Response()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"--x"
        await asyncio.Event().wait()

    app.add_routes([web.post("/", read)])
    async with serving(app) as where:
        await send(where, slowly(), Content_Type="multipart/form-data; boundary=x")
    assert message == ["upload took longer than 0 s; send a smaller file"]


# What is not a form


@pytest.mark.parametrize(
    "kind", ["audio/webm", "application/json", "application/x-www-form-urlencoded", "multipart/mixed"]
)
async def test_other_content_types_are_rejected_with_an_example(address: str, kind: str) -> None:
    status, message = await send(address, b"x", Content_Type=kind)
    assert status == 400
    assert message.startswith(
        "unsupported_media_type: send a form (multipart/form-data), for example: curl -F file=@me.wav"
    )


@pytest.mark.parametrize(
    "part",
    [
        field("file", "x", "Content-Transfer-Encoding: base64"),
        field("file", "x", "Content-Transfer-Encoding: quoted-printable"),
        LINE.join(["Content-Disposition: form-data", "", "x"]),
        LINE.join(["X: y", "", "x"]),
        field("file", f"--y{LINE}{LINE}x{LINE}--y--", "Content-Type: multipart/mixed; boundary=y"),
        "no headers, and no empty line",
    ],
)
async def test_parts_that_are_not_plain_fields_are_rejected(address: str, part: str) -> None:
    status, message = await send_parts(address, field("consent", "true"), part)
    assert (status, message[:11]) == (400, "bad_upload:")


async def test_duplicate_field_is_rejected(address: str) -> None:
    status, message = await send_parts(address, field("file", "x"), field("file", "y"))
    assert (status, message) == (400, "bad_upload: field 'file' is duplicated; send it once")


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT"])
async def test_identity_transfer_encodings_are_accepted(address: str, encoding: str) -> None:
    parts = [field("file", "x", f"Content-Transfer-Encoding: {encoding}"), field("consent", "true")]
    assert (await send_parts(address, *parts))[0] == 200


@pytest.mark.parametrize("tail", ["", "--x", "--x\r\n", "--x--"])
async def test_truncated_form_is_not_an_internal_error(address: str, tail: str) -> None:
    status, _ = await send_parts(address, field("consent", "true"), field("file", "x"), tail=tail)
    assert status in (200, 400)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 99]
)
async def test_form_without_boundary_is_rejected(address: str, kind: str) -> None:
    status, message = await send(address, b"--x\r\n", Content_Type=kind)
    assert (status, message[:11]) == (400, "bad_upload:")


# Fuzzing

PIECES = [
    "--x", "--x--", LINE, "\n", "\r", "--", 'Content-Disposition: form-data; name="file"; filename="a.wav"', "\0",
    'Content-Disposition: form-data; name="consent"', "true", "Content-Transfer-Encoding: base64", "Content-Length: 3",
    "Content-Length: -1", "Content-Encoding: gzip", "Content-Type: multipart/mixed; boundary=x", ": ", "a" * 9000,
    'Content-Disposition: form-data; name="file', "Content-Disposition: form-data; name*=utf-8''%ff", "é", "_charset_",
]  # fmt: skip
# Few empty bodies, because their response may arrive before they are sent.
BODIES = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map(lambda pieces: "".join(pieces).encode()),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map(lambda pieces: LINE.join(pieces).encode()),
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda data: b"--x\r\n" + data),
)


# aiohttp warns about odd but readable headers.
@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader")
@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionParam")
@given(bodies=st.lists(BODIES, min_size=5, max_size=15), chunked=st.booleans())
@fuzz
@settings(max_examples=30 * FUZZ, deadline=None)
def test_arbitrary_bodies_are_parsed_or_rejected(bodies: list[bytes], chunked: bool) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50):
            yield body[start : start + 50]

    async def send_all() -> None:
        app = web.Application()
        app.add_routes([web.post("/", _read)])
        async with serving(app) as address:
            for body in bodies:
                data = pieces(body) if chunked else body
                status, message = await send(address, data, Content_Type="multipart/form-data; boundary=x")
                assert status in (200, 400), (body, message)

    asyncio.run(send_all())
