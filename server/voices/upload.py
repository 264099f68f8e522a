"""Read voice uploads (`multipart/form-data`) with bounds on size and time."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from sayline_tts.engine.errors import InputError

FILE = "file"
TEXT_FIELDS = ("name", "consent", "url")
MAX_TEXT_BYTES = 4_096  # of each field except the file
MAX_FIELDS = 16
CHUNK_BYTES = 64 * 1024
TRUE_VALUES = ("true", "yes", "1", "on")  # browsers send "on" for a check box


class UploadError(InputError):
    code = "bad_upload"


class UploadNotAForm(InputError):
    code = "unsupported_media_type"


class UploadTooLarge(InputError):
    code = "too_large"


class UploadTooSlow(InputError):
    code = "too_slow"


class ConsentMissing(InputError):
    code = "consent_required"


@dataclass(frozen=True)
class Upload:
    """A voice upload: `file`, or None and the `url` of one."""

    file: bytes | None
    url: str
    name: str


async def read_upload(request: web.Request, max_bytes: int, limit_s: float) -> Upload:
    """Read and check the form.

    Raises `UploadNotAForm`, `UploadError`, `UploadTooLarge`, `UploadTooSlow`, `ConsentMissing`.
    """
    if request.content_type != "multipart/form-data":
        raise UploadNotAForm("send a form (multipart/form-data), for example: curl -F file=@me.wav -F consent=true")
    return _checked(await read_form(request, FILE, max_bytes, limit_s))


async def read_form(
    request: web.Request, file_field: str, max_bytes: int, limit_s: float, max_text_bytes: int = MAX_TEXT_BYTES
) -> dict[str, bytes]:
    """The fields of a form, of which one may be a file. Raises `UploadError`, `UploadTooLarge`, `UploadTooSlow`."""
    if (request.content_length or 0) > max_bytes + MAX_FIELDS * max_text_bytes:
        raise _too_large(max_bytes)
    bounds = {file_field: max_bytes}
    try:
        async with asyncio.timeout(limit_s):
            return await _read_fields(await request.multipart(), bounds, max_text_bytes)
    except TimeoutError:
        raise UploadTooSlow(f"upload took longer than {limit_s:g} s; send a smaller file") from None
    except (ValueError, AssertionError, HttpProcessingError) as error:  # aiohttp's errors for malformed forms
        raise UploadError(f"malformed form ({str(error)[:100]}); send it as browsers and curl do") from error


async def _read_fields(form: MultipartReader, bounds: Mapping[str, int], max_bytes: int) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for _ in range(MAX_FIELDS):
        part = await form.next()
        if part is None:
            return fields
        if not isinstance(part, BodyPartReader) or not part.name:
            raise UploadError("a part of the form is not a named field; send it as browsers and curl do")
        if part.headers.get("Content-Transfer-Encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
            raise UploadError(f"field {part.name[:50]!r} has a Content-Transfer-Encoding; send its bytes unencoded")
        if part.name in fields:
            raise UploadError(f"field {part.name[:50]!r} is duplicated; send it once")
        fields[part.name] = await _read_part(part, bounds.get(part.name, max_bytes))
    raise UploadError(f"the form has more than {MAX_FIELDS} fields; send only those documented at /docs")


async def _read_part(part: BodyPartReader, max_bytes: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(CHUNK_BYTES):
        data += chunk
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(data)


def _checked(fields: dict[str, bytes]) -> Upload:
    name, consent, url = (fields.get(field, b"").decode(errors="replace").strip() for field in TEXT_FIELDS)
    file = fields.get(FILE)
    if consent.lower() not in TRUE_VALUES:
        raise ConsentMissing(
            "consent is missing; if the speaker agreed to this clone of the voice, send the field consent=true"
        )
    if (file is None) == (not url):
        raise UploadError(f"send either a recording in the field {FILE}, or its URL in the field url")
    return Upload(file, url, name)


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(f"upload larger than {max_bytes} bytes; 30 s of speech are enough, also as MP3 or Opus")
