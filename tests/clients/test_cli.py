import asyncio
import os
import pty
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
from sayline import cli

from tests.clients.scripted import TONE, ScriptedServer

# The client alone, whatever else is installed.
SAYLINE = [sys.executable, "-c", "from sayline import cli; cli.entry_points = lambda group: []; cli.main()"]
PIPE = subprocess.PIPE


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


async def start(
    scripted: ScriptedServer, *arguments: str, stdin: int = PIPE, stdout: int = PIPE, command: str = "pipe"
) -> asyncio.subprocess.Process:
    environment = {**os.environ, "SAYLINE_URL": scripted.url, "NO_COLOR": "1", "COLUMNS": "80"}
    return await asyncio.create_subprocess_exec(
        *SAYLINE, command, *arguments, env=environment, stdin=stdin, stdout=stdout, stderr=PIPE
    )


async def pipe(scripted: ScriptedServer, text: bytes, *arguments: str) -> tuple[int | None, bytes, str]:
    process = await start(scripted, *arguments)
    out, error = await asyncio.wait_for(process.communicate(text), 30)
    return process.returncode, out, error.decode()


async def speak(scripted: ScriptedServer, *arguments: str) -> tuple[int | None, str]:
    return await ended(await start(scripted, *arguments, command="speak"))


def frames_in(path: Path) -> int:
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 24_000)
        samples: int = file.getnframes()
        assert file.readframes(samples) == TONE * (samples // 1920)
    return samples // 1920


async def has_frames(path: Path, count: int) -> None:
    def bytes_there() -> int:
        return path.stat().st_size if path.exists() else 0

    while bytes_there() < 44 + count * len(TONE):  # noqa: ASYNC110 (another process's file can only be looked at)
        await asyncio.sleep(0.01)


async def write(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text.encode())
    await process.stdin.drain()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    _, error = await asyncio.wait_for(process.communicate(b"" if process.stdin else None), 30)
    return process.returncode, error.decode()


async def test_pipe_writes_a_wav_file_and_reports_the_speed(scripted: ScriptedServer, tmp_path: Path) -> None:
    code, out, error = await pipe(scripted, b"Hello there. ", "-o", str(tmp_path / "out.wav"))
    assert (code, out) == (0, b"")
    assert frames_in(tmp_path / "out.wav") == 2
    assert error.startswith("0.16 s of speech, first audio after ")
    assert "x real time" in error


async def test_audio_is_written_while_text_is_arriving(scripted: ScriptedServer) -> None:
    process = await start(scripted, "-o", "-", "--raw", "-q")
    assert process.stdout is not None
    for written, frames in [("Hello ", 0), ("there. ", 2), ("How are ", 0), ("you. I", 3)]:
        await write(process, written)
        assert await asyncio.wait_for(process.stdout.readexactly(frames * len(TONE)), 10) == TONE * frames
        await scripted.until_text(written)
    out, error = await asyncio.wait_for(process.communicate(b""), 30)
    assert (process.returncode, out, error) == (0, TONE, b"")


async def test_text_without_a_final_newline_is_spoken_completely(scripted: ScriptedServer, tmp_path: Path) -> None:
    code, _, error = await pipe(scripted, b"no full stop and no newline", "-q", "-o", str(tmp_path / "out.wav"))
    assert (code, error, frames_in(tmp_path / "out.wav")) == (0, "", 6)


async def test_input_may_be_a_regular_file(scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one two three\n" * 1000)
    with (tmp_path / "text").open("rb") as file:
        process = await start(scripted, "-q", "-o", str(tmp_path / "out.wav"), stdin=file.fileno())
        assert await ended(process) == (0, "")
    assert frames_in(tmp_path / "out.wav") == 3000


async def test_input_may_be_a_terminal(scripted: ScriptedServer, tmp_path: Path) -> None:
    keyboard, terminal = pty.openpty()
    process = await start(scripted, "-o", str(tmp_path / "out.wav"), stdin=terminal)
    os.write(keyboard, b"Hello there\n\x04")
    code, error = await ended(process)
    os.close(keyboard)
    os.close(terminal)
    assert (code, frames_in(tmp_path / "out.wav")) == (0, 2)
    assert error.startswith("Type text to speak; Ctrl-D ends it.")


async def test_options_are_sent_to_the_server(scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.api_key = "secret"
    options = ["--voice", "angus", "--seed", "7", "--temperature", "0.5", "--speed", "1.5", "--language", "en"]
    options += ["--api-key", "secret", "--lookahead-words", "2"]
    code, _, _ = await pipe(scripted, b"Hello.", *options, "-o", str(tmp_path / "out.wav"))
    assert code == 0
    asked = {"voice": "angus", "seed": 7, "temperature": 0.5, "speed": 1.5, "language": "en", "lookahead_words": 2}
    start = {"type": "start", "context_id": "speech-1", "format": "pcm", "max_lead_ms": 60_000}
    assert scripted.received[0] == start | asked


async def test_text_may_be_an_argument(scripted: ScriptedServer, tmp_path: Path) -> None:
    code, error = await speak(scripted, "Hello there.", "--decode-steps", "2", "-o", str(tmp_path / "out.wav"))
    assert (code, frames_in(tmp_path / "out.wav")) == (0, 2)
    assert error.startswith("0.16 s of speech, first audio after ")
    assert scripted.received[0]["decode_steps"] == 2


async def test_text_file_is_spoken(scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_bytes(b"Dear Ren\xc3\xa9, caf\xe9!")
    code, error = await speak(scripted, "-f", str(tmp_path / "letter.txt"), "-q", "-o", str(tmp_path / "out.raw"))
    assert (code, scripted.texts()) == (0, "Dear René, caf!")
    assert (tmp_path / "out.raw").read_bytes() == TONE * 3
    assert "warning: skipped 1 place that is not UTF-8" in error


async def test_missing_text_file_is_reported_by_name(scripted: ScriptedServer, tmp_path: Path) -> None:
    code, error = await speak(scripted, "-f", str(tmp_path / "none.txt"), "-o", str(tmp_path / "out.wav"))
    assert (code, error) == (1, f"sayline: cannot read {tmp_path / 'none.txt'}: No such file or directory\n")


@pytest.mark.parametrize("arguments", [[], ["Hello.", "-f", "letter.txt"]])
async def test_speak_requires_exactly_one_text(scripted: ScriptedServer, arguments: list[str]) -> None:
    code, error = await speak(scripted, *arguments)
    assert code == 2
    assert "give either TEXT or --file" in error


async def test_other_formats_are_refused_with_the_server_command(scripted: ScriptedServer, tmp_path: Path) -> None:
    code, error = await speak(scripted, "Hello.", "-o", str(tmp_path / "out.mp3"))
    assert (code, scripted.received) == (1, [])
    assert '"format": "mp3"' in error
    assert "/stream" in error


async def test_standard_output_gets_a_streamable_wav(scripted: ScriptedServer) -> None:
    code, out, _ = await pipe(scripted, b"one two", "-o", "-")
    assert (code, out[:4], out[44:]) == (0, b"RIFF", TONE * 2)


async def test_audio_is_not_written_to_a_terminal(scripted: ScriptedServer) -> None:
    keyboard, terminal = pty.openpty()
    process = await start(scripted, "-o", "-", stdout=terminal)
    code, error = await ended(process)
    os.close(keyboard)
    os.close(terminal)
    assert code == 1
    assert "standard output is a terminal" in error


@pytest.mark.parametrize("text", [b"", b" \n\t\n", b"\xff"])
async def test_empty_text_is_an_error_and_writes_no_file(scripted: ScriptedServer, tmp_path: Path, text: bytes) -> None:
    code, _, error = await pipe(scripted, text, "-o", str(tmp_path / "out.wav"))
    assert code == 1
    assert "sayline: nothing to say: the text is empty; try: sayline speak" in error
    assert not (tmp_path / "out.wav").exists()


async def test_invalid_utf8_is_skipped_with_a_warning(scripted: ScriptedServer, tmp_path: Path) -> None:
    code, _, error = await pipe(scripted, b"caf\xe9 noir", "-o", str(tmp_path / "out.wav"))
    assert (code, scripted.texts()) == (0, "caf noir")
    assert "warning: skipped 1 place that is not UTF-8" in error


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_ctrl_c_cancels_and_leaves_a_complete_wav(
    scripted: ScriptedServer, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    process = await start(scripted, "-o", str(tmp_path / "out.wav"))
    await write(process, "one two three. four")
    await has_frames(tmp_path / "out.wav", 3)
    process.send_signal(sent)
    await scripted.until_last("cancel")
    exit_code, error = await ended(process)
    assert (exit_code, frames_in(tmp_path / "out.wav")) == (code, 3)
    assert f"The speech received so far is in {tmp_path / 'out.wav'}." in error
    assert "0.24 s of speech" in error
    assert "Traceback" not in error


async def test_killed_process_leaves_a_playable_file(scripted: ScriptedServer, tmp_path: Path) -> None:
    process = await start(scripted, "-o", str(tmp_path / "out.wav"))
    await write(process, "one two three. ")
    await has_frames(tmp_path / "out.wav", 3)
    await scripted.until_last("text")
    process.kill()
    await ended(process)
    assert frames_in(tmp_path / "out.wav") >= 2  # the header of the last frame may be missing


async def test_lost_server_leaves_the_audio_received_so_far(scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.resume_s = 0
    code, _, error = await pipe(scripted, b"one two three hangup four", "-o", str(tmp_path / "out.wav"))
    assert (code, frames_in(tmp_path / "out.wav")) == (1, 3)
    assert f"sayline: the connection to {scripted.url} was lost" in error
    assert "The speech received so far" in error


async def test_unknown_voice_lists_the_voices_and_writes_no_file(scripted: ScriptedServer, tmp_path: Path) -> None:
    code, _, error = await pipe(scripted, b"Hello.", "--voice", "nobody", "-o", str(tmp_path / "out.wav"))
    assert (code, (tmp_path / "out.wav").exists()) == (1, False)
    assert error.endswith("sayline: no voice of that name; there are: clara, angus\n")


async def test_missing_server_error_says_how_to_start_one(
    scripted: ScriptedServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    (tmp_path / "out.wav").write_bytes(b"precious")
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    code, _, error = await pipe(scripted, b"Hello.", "--url", url, "-o", str(tmp_path / "out.wav"))
    assert code == 1
    assert f"sayline: no server at {url}: start one with `sayline serve`" in error
    assert (tmp_path / "out.wav").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("output", "advice"), [("", "is a folder: give -o the name of a file"), ("no/out.wav", "does not exist: create it")]
)
async def test_unwritable_output_is_refused_at_once(
    scripted: ScriptedServer, tmp_path: Path, output: str, advice: str
) -> None:
    code, _, error = await pipe(scripted, b"Hello.", "-o", str(tmp_path / output))
    assert (code, scripted.received) == (1, [])
    assert advice in error


async def test_full_disk_is_reported(scripted: ScriptedServer) -> None:
    code, _, error = await pipe(scripted, b"Hello.", "-o", "/dev/full")
    assert code == 1
    assert "sayline: could not write to /dev/full: No space left on device" in error


async def test_closed_output_pipe_ends_the_command(scripted: ScriptedServer) -> None:
    process = await start(scripted, "-o", "-")
    assert process.stdout is not None
    await write(process, "one. ")
    await process.stdout.readexactly(44 + len(TONE))
    process.stdout._transport.close()  # type: ignore[attr-defined]
    await write(process, "two. ")
    code, error = await ended(process)
    assert code == 1
    assert "that reads the output has exited" in error


async def test_missing_audio_device_suggests_a_file(scripted: ScriptedServer) -> None:
    code, _, error = await pipe(scripted, b"Hello.")
    assert code == 1
    assert "-o speech.wav" in error


def test_help_is_fast_and_loads_no_model() -> None:
    program = (
        "import sys\nfrom sayline.cli import main\ntry:\n    main()\nfinally:\n"
        "    heavy = {'torch', 'numpy', 'scipy', 'aiohttp', 'av'} & set(sys.modules)\n"
        "    print('heavy:', heavy or 'none')\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, "pipe", "--help"], capture_output=True, text=True, check=True
    )
    assert "heavy: none" in shown.stdout
    assert "--voice" in shown.stdout


def test_broken_package_does_not_disable_other_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EntryPoint("broken", "no.such.module:register", cli.GROUP)
    working = EntryPoint("working", "tests.clients.commands:register", cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [broken, working])
    app = cli.make_app()
    assert [command.name or command.callback.__name__ for command in app.registered_commands if command.callback] == [
        "speak",
        "pipe",
        "greet",
    ]
    assert "warning: cannot load the commands of 'broken' (no.such.module:register)" in capsys.readouterr().err


def test_client_alone_provides_the_sayline_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "entry_points", lambda group: [])
    monkeypatch.setattr(sys, "argv", ["sayline", "pipe", "--help"])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 0
    assert "standard input" in capsys.readouterr().out


async def test_versions_are_shown() -> None:
    shown = await asyncio.create_subprocess_exec(*SAYLINE, "--version", stdout=PIPE)
    out, _ = await asyncio.wait_for(shown.communicate(), 30)
    assert f"sayline-client {version('sayline-client')}" in out.decode().splitlines()


@pytest.mark.parametrize("arguments", [[], ["pipe"], ["speak"]])
async def test_help_is_also_h(arguments: list[str]) -> None:
    shown = await asyncio.create_subprocess_exec(*SAYLINE, *arguments, "-h", stdout=PIPE)
    out, _ = await asyncio.wait_for(shown.communicate(), 30)
    assert (shown.returncode, "Usage: " in out.decode()) == (0, True)
