"""Log lines: format, session ids, and no user input."""

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from sayline_tts.server import logs
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client, serving

TEXT, KEY = "Xylophon. Quagmire.", "sesame-seventeen"
log = logging.getLogger("sayline_tts.server.test")


@pytest.fixture
def root() -> Iterator[None]:
    """Restore the root logger after `configure`."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield
    logging.captureWarnings(False)
    logger.handlers[:], logger.level = handlers, level


@pytest.fixture
def lines(root: None) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("json", "debug", stream)
    return stream


@pytest.fixture
def pretty(root: None) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("pretty", "info", stream)
    return stream


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_json_line_has_time_level_session_logger_and_message(lines: io.StringIO) -> None:
    log.info("ended %s", "well", extra={"contexts": 3})
    (line,) = read(lines)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "session": "-",
        "logger": "sayline_tts.server.test",
        "message": "ended well",
        "contexts": 3,
    }


def test_pretty_line(pretty: io.StringIO) -> None:
    with logs.in_session("s-1"):
        log.warning("two\nlines", extra={"contexts": 3})
        log.debug("not so important")
    (line,) = pretty.getvalue().splitlines()
    assert line.endswith("WARNING s-1      sayline_tts.server.test: two\\nlines contexts=3")


def test_trace_id_is_in_both_formats(lines: io.StringIO) -> None:
    with logs.in_trace("4bf9"):
        log.info("ended", extra={"contexts": 3})
    log.info("idle")
    traced, other = read(lines)
    assert (traced["trace"], traced["contexts"]) == ("4bf9", 3)
    assert "trace" not in other
    logs.configure("pretty", "info", lines)
    with logs.in_trace("4bf9"):
        log.info("ended")
    assert lines.getvalue().endswith("test: ended trace=4bf9\n")


async def test_tasks_inherit_the_session_id(lines: io.StringIO) -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(0)
        log.info(name)

    with logs.in_session("s-1"):
        inside = asyncio.create_task(work("inside"))
    await asyncio.gather(inside, work("outside"))
    assert {
        line["message"]: line["session"] for line in read(lines) if line["logger"] == "sayline_tts.server.test"
    } == {
        "inside": "s-1",
        "outside": "-",
    }


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (RuntimeError("shapes do not fit"), "RuntimeError: shapes do not fit"),
        (KeyError(TEXT), "KeyError"),
        (ValueError(f"could not convert {TEXT}"), "ValueError"),
        (UnicodeEncodeError("ascii", TEXT, 0, 1, TEXT), "UnicodeEncodeError"),
        (FileNotFoundError(2, "No such file", TEXT), "FileNotFoundError: No such file"),
        (json.JSONDecodeError(TEXT, TEXT, 0), "json.decoder.JSONDecodeError"),
    ],
)
def test_errors_are_logged_with_location_and_without_quoted_values(
    error: Exception, expected: str, lines: io.StringIO
) -> None:
    try:
        raise error
    except Exception:
        log.exception("a session failed")
    (line,) = read(lines)
    assert line["message"] == "a session failed"
    assert "test_logs.py:" in line["error"][0]
    assert line["error"][1:] == [expected]
    assert TEXT not in lines.getvalue()


def test_causes_and_groups_are_logged(pretty: io.StringIO) -> None:
    try:
        try:
            raise KeyError(TEXT)
        except KeyError as error:
            raise ExceptionGroup(TEXT, [RuntimeError("one"), OSError(TEXT)]) from error
    except ExceptionGroup:
        log.exception("failed")
    logged = [line.strip() for line in pretty.getvalue().splitlines()]
    assert [line for line in logged if "test_logs.py" not in line][1:] == [
        "ExceptionGroup", "with:", "RuntimeError: one", "with:", "OSError", "caused by:", "KeyError",
    ]  # fmt: skip
    assert TEXT not in pretty.getvalue()


async def test_quoted_input_in_asyncio_messages_is_cut(lines: io.StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda text: {}[text], TEXT)  # type: ignore[index]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (line,) = [line for line in read(lines) if line.get("error", [""])[-1] == "KeyError"]
    assert line["message"].startswith("Exception in callback test_quoted_input_in_asyncio_messages_is_cut")
    assert TEXT not in lines.getvalue()


def test_warnings_are_logged(lines: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"odd 'input' {TEXT}", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    (line,) = read(lines)
    assert line["message"].endswith("UserWarning: odd")


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_session_logs_contain_neither_text_nor_key(
    encoding: str, lines: io.StringIO, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At debug level, with client errors and failures of a step, a frame and a session."""
    asyncio.get_running_loop().set_debug(True)
    app = await make_app(Settings.load(api_key=KEY), engine.model, engine)
    known = {"Authorization": f"Bearer {KEY}"}
    async with serving(app) as address, connected_client(address, encoding, additional_headers=known) as one:
        await one.speak(TEXT)
        await one.receive_until_final()
        await one.send(TEXT)
        await one.socket.send(TEXT if encoding == "json" else TEXT.encode())
        await one.send("text", TEXT, text=TEXT)
        engine.runner.next_error = ValueError(TEXT)
        await one.speak(TEXT)
        await one.receive_until_final()
        engine.runner.next_codec_error = ValueError(TEXT)
        await one.speak(TEXT)
        await one.receive_until_final()
        monkeypatch.setattr("sayline_tts.server.websocket.session.Session.handle", lambda session, message: {}[message])
        await one.send("start", "b")
        await one.socket.wait_closed()
    said = read(lines)
    assert len([line for line in said if "error" in line]) >= 3, said
    for word in (*TEXT.split(), KEY):
        assert word not in lines.getvalue()
    faults = {line["message"].partition(";")[0]: line["session"] for line in said if "error" in line}
    assert faults["a session failed"] == faults["a frame or its listener failed"] != logs.NO_SESSION
    assert faults["a step of 1 rows failed"] == logs.NO_SESSION, "the engine's own faults are nobody's"
