import ctypes.util
import gc
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sayline_tts.server.audio import opus
from sayline_tts.server.audio.opus import OpusEncoder, OpusMissing, find_libopus, load_opuslib

FRAME = 1920
Samples = npt.NDArray[np.float32]


def decode(packets: Iterable[bytes]) -> Samples:
    """`[samples]`, straight through opuslib's C functions: its own `Decoder` fails at exit."""
    opuslib = load_opuslib()
    api = opuslib.api.decoder
    state = api.create_state(24_000, 1)
    try:
        parts = [api.decode_float(state, packet, len(packet), FRAME, False, channels=1) for packet in packets]
    finally:
        api.destroy(state)
    return np.frombuffer(b"".join(parts), np.float32)


def frames(samples: npt.NDArray[Any]) -> list[Samples]:
    whole = samples[: len(samples) // FRAME * FRAME].astype(np.float32)
    return list(whole.reshape(-1, FRAME))


def round_trip(samples: npt.NDArray[Any], **settings: int) -> tuple[Samples, Samples]:
    """The input and the decoded output, aligned."""
    encoder = OpusEncoder(**settings)
    output = decode(encoder.encode(frame) for frame in frames(samples))[encoder.pre_skip_samples :]
    return samples[: len(output)].astype(np.float32), output


def snr_db(sent: Samples, output: Samples) -> float:
    return float(10 * np.log10(np.square(sent).sum() / np.square(sent - output).sum()))


def chirp(seconds: float = 2.0) -> Samples:
    """A voice-like sound: a gliding pitch with ten harmonics, in syllables."""
    time = np.arange(round(seconds * 24_000)) / 24_000
    phase = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 1.3 * time)) / 24_000
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 11))
    return np.asarray(0.2 * voice * np.sin(2 * np.pi * 2 * time) ** 2, np.float32)


def tone(seconds: float = 2.0) -> Samples:
    return np.asarray(0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 24_000)) / 24_000), np.float32)


def test_frame_round_trip() -> None:
    encoder = OpusEncoder()
    assert encoder.frame_samples == FRAME
    for frame in frames(chirp()):
        packet = encoder.encode(frame)
        assert isinstance(packet, bytes)
        assert 0 < len(packet) < 1275
        assert len(decode([packet])) == FRAME


def test_pre_skip_is_6_5_ms() -> None:
    assert OpusEncoder().pre_skip_samples == 156
    assert OpusEncoder(sample_rate_hz=48_000).pre_skip_samples == 312


@pytest.mark.parametrize("complexity", [0, 5, 10])
def test_tone_and_voice_keep_their_quality(complexity: int) -> None:
    assert snr_db(*round_trip(tone(), complexity=complexity)) > 14  # libopus is told to expect a voice
    assert snr_db(*round_trip(chirp(), complexity=complexity)) > 12


def test_pre_skip_aligns_output_with_input() -> None:
    sent, output = round_trip(chirp())
    shifts = range(-20, 21)
    best = max(shifts, key=lambda shift: snr_db(sent[100:-100], np.roll(output, -shift)[100:-100]))
    assert abs(best) <= 1


@pytest.mark.parametrize("bitrate", [24_000, 32_000, 64_000])
def test_bitrate_is_respected(bitrate: int) -> None:
    noisy = chirp(4) + np.random.default_rng(0).normal(0, 0.003, 96_000).astype(np.float32)
    encoder = OpusEncoder(bitrate=bitrate)
    size_bytes = sum(len(encoder.encode(frame)) for frame in frames(noisy))
    assert size_bytes * 8 / 4 == pytest.approx(bitrate, rel=0.3)


def test_silence_takes_few_bytes() -> None:
    encoder = OpusEncoder()
    sizes = [len(encoder.encode(np.zeros(FRAME, np.float32))) for _ in range(10)]
    assert max(sizes) <= 240  # half of the size of speech
    assert np.abs(decode([encoder.encode(np.zeros(FRAME, np.float32))])).max() < 1e-4


def test_samples_beyond_full_scale_are_clipped() -> None:
    loud = 3 * tone()
    loud[5] = np.inf
    loud[6] = -np.inf
    encoder, clipped = OpusEncoder(), OpusEncoder()
    for frame in frames(loud):
        assert encoder.encode(frame) == clipped.encode(np.clip(frame, -1, 1))


def test_nan_becomes_silence() -> None:
    broken = chirp()
    broken[5000:6000] = np.nan
    encoder, silent = OpusEncoder(), OpusEncoder()
    for frame in frames(broken):
        assert encoder.encode(frame) == silent.encode(np.nan_to_num(frame))


def test_wrong_frame_length_is_an_assertion() -> None:
    for wrong in (np.zeros(1919), np.zeros((1, FRAME)), np.zeros(0)):
        with pytest.raises(AssertionError):
            OpusEncoder().encode(wrong.astype(np.float32))


def test_interleaved_encoders_do_not_interfere() -> None:
    sounds = [frames(chirp() * (1 - 0.04 * index)) for index in range(20)]
    together = [OpusEncoder() for _ in sounds]
    in_turns = [
        [encoder.encode(frame) for encoder, frame in zip(together, row, strict=True)]
        for row in zip(*sounds, strict=True)
    ]
    for sound, packets in zip(sounds, zip(*in_turns, strict=True), strict=True):
        alone = OpusEncoder()
        assert [alone.encode(frame) for frame in sound] == list(packets)


def test_encoders_in_threads_do_not_interfere() -> None:
    expected = [OpusEncoder().encode(frames(chirp())[0])] * 4
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(OpusEncoder().encode(frames(chirp())[0]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected


def test_encoder_is_freed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[object] = []
    api = load_opuslib().api.encoder
    destroy = api.destroy

    def count(state: object) -> None:
        freed.append(state)
        destroy(state)

    monkeypatch.setattr(api, "destroy", count)
    encoder = OpusEncoder()
    encoder.encode(np.zeros(FRAME, np.float32))
    assert freed == []
    del encoder
    gc.collect()
    assert len(freed) == 1


# Finding libopus


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As in a process that has not imported opuslib yet."""
    for name in [name for name in sys.modules if name.split(".")[0] == "opuslib"]:
        monkeypatch.delitem(sys.modules, name)
    load_opuslib.cache_clear()
    yield monkeypatch
    load_opuslib.cache_clear()


def test_libopus_of_pyav_is_found() -> None:
    path = find_libopus()
    assert path is not None
    assert "libopus" in Path(path).name
    assert Path(path).exists()


def test_system_libopus_is_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.__file__", str(tmp_path / "site-packages" / "av" / "__init__.py"))
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"lib{name}.so.0")
    assert find_libopus() == "libopus.so.0"


def test_missing_libopus_is_reported_with_advice(unloaded: pytest.MonkeyPatch) -> None:
    unloaded.setattr(opus, "find_libopus", lambda: None)
    with pytest.raises(OpusMissing, match=r"libopus, .*was not found; install it \(.*apt install libopus0"):
        OpusEncoder()
    unloaded.undo()
    assert OpusEncoder().pre_skip_samples == 156  # works once it is installed


def test_unloadable_libopus_is_reported(unloaded: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libopus.so").write_bytes(b"not a library")
    unloaded.setattr(opus, "find_libopus", lambda: str(tmp_path / "libopus.so"))
    with pytest.raises(OpusMissing, match=r"libopus cannot be loaded \(.*libopus\.so.*\); install it"):
        OpusEncoder()


def test_find_library_is_patched_only_during_import(unloaded: pytest.MonkeyPatch) -> None:
    original = ctypes.util.find_library
    OpusEncoder()
    assert ctypes.util.find_library is original


def test_no_output_at_first_import_or_exit(tmp_path: Path) -> None:
    script = (
        "import numpy as np; from sayline_tts.server.audio.opus import OpusEncoder\n"
        "kept = OpusEncoder(); kept.encode(np.zeros(1920, np.float32))\n"
        "circle = [OpusEncoder()]; circle.append(circle); del circle\n"
        "encoder = OpusEncoder(); del encoder\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    # A copy without bytecode: compiling opuslib gives a warning.
    shutil.copytree(
        Path(load_opuslib().__file__).parent, tmp_path / "opuslib", ignore=shutil.ignore_patterns("__pycache__")
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"PYTHONPATH": path, "PATH": "", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
