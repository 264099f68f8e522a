"""`sayline generate`: audio output, messages and errors."""

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from sayline_tts.engine.audio.audio_file import decode_file
from sayline_tts.engine.audio.onset import FADE_SAMPLES
from sayline_tts.engine.audio.recording import read_audio
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.tts_model import TTSModel
from tests.engine.sounds import encode, speech, wav
from tests.server.commands.conftest import CountingModel, Sayline, usage_error

THREE_FRAMES = 3 * 1920
SAYLINE = [sys.executable, "-c", "from sayline.cli import main; main()"]


def _alone(home: Path, **environment: str) -> dict[str, Any]:
    """How to start a process with an empty cache and one thread."""
    return {
        "env": {**os.environ, "HF_HOME": str(home), **environment},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


def _samples(source: Path | bytes) -> int:
    return int(decode_file(source, "the speech", 60).samples.shape[1])


# Audio


def test_text_is_written_as_wav(sayline: Sayline, embedded: TTSModel) -> None:
    assert sayline("generate", "Hello there, how are you?", "-o", "hello.wav").exit_code == 0
    output = read_audio(Path("hello.wav"))
    assert 1.0 < len(output) / 24_000 < 5.0
    assert np.abs(output).max() > 0.05


def test_same_seed_gives_the_same_audio(sayline: Sayline, embedded: TTSModel) -> None:
    for take, seed in (("a.wav", 7), ("b.wav", 7), ("c.wav", 8)):
        sayline("generate", "Again.", "-o", take, "--seed", seed)
    first, second, other = (Path(take).read_bytes() for take in ("a.wav", "b.wav", "c.wav"))
    assert first == second != other


def test_dash_reads_standard_input(sayline: Sayline, counting: CountingModel) -> None:
    assert sayline("generate", "-", stdin=b"Hello.\n").exit_code == 0
    assert counting.calls["text"] == "Hello.\n"
    assert _samples(Path("speech.wav")) == THREE_FRAMES  # the default output


def test_dash_output_writes_only_wav_to_standard_output(sayline: Sayline, counting: CountingModel) -> None:
    data = sayline("generate", "Hello.", "-o", "-").stdout_bytes
    assert len(data) == 44 + 2 * THREE_FRAMES
    assert _samples(data) == THREE_FRAMES


def test_stream_writes_raw_samples(sayline: Sayline, counting: CountingModel) -> None:
    data = sayline("generate", "Hello.", "--stream").stdout_bytes
    samples = np.frombuffer(data, "<i2")
    assert samples[0] == 0  # faded in
    assert samples[FADE_SAMPLES:].tolist() == [8192] * (THREE_FRAMES - FADE_SAMPLES)


def test_closed_pipe_ends_without_error_message(tmp_path: Path) -> None:
    arguments = ["generate", "Hello there. " * 30, "--variant", "embedded", "--stream", "-q"]
    with subprocess.Popen([*SAYLINE, *arguments], **_alone(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_embedded_model_is_the_fallback_without_hub(tmp_path: Path) -> None:
    process = subprocess.run(
        [*SAYLINE, "generate", "Hello.", "-o", "-"], check=True, **_alone(tmp_path, HF_HUB_OFFLINE="1")
    )
    output = process.stderr.decode()
    assert "comes with Sayline, because Kyutai's is unavailable: HF_HUB_OFFLINE is set" in output
    assert "--variant english" in output
    assert len(read_audio(process.stdout)) > 5 * 1920


# Messages


def test_last_line_reports_the_speed(sayline: Sayline, counting: CountingModel) -> None:
    lines = sayline("generate", "Hello.", "--seed", "5").stderr.splitlines()
    assert lines[:3] == ["Loading the model ...", "Weights: a stand-in for tests", "Voice: nobody, seed: 5"]
    assert re.fullmatch(
        r"Written to speech\.wav: 0\.24 s of speech, first frame after \d+ ms, real-time factor \d\.\d\d "
        r"\(.+ x real time\), model loaded in \d+\.\d s\.",
        lines[3],
    )


def test_quiet_prints_nothing(sayline: Sayline, counting: CountingModel) -> None:
    assert sayline("generate", "Hello.", "-q").output == ""


def test_quiet_still_prints_errors(sayline: Sayline, counting: CountingModel) -> None:
    assert "nothing to say" in usage_error(sayline("generate", " ", "-q"))


def test_ctrl_c_keeps_the_audio_generated_so_far(sayline: Sayline, counting: CountingModel) -> None:
    counting.interrupt = KeyboardInterrupt()
    result = sayline("generate", "Hello.")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "Stopped; wrote 0.16 s of speech to speech.wav."
    data = Path("speech.wav").read_bytes()
    assert int.from_bytes(data[40:44], "little") == len(data) - 44 == 2 * 2 * 1920


def test_internal_errors_keep_their_traceback(sayline: Sayline, counting: CountingModel) -> None:
    counting.interrupt = ZeroDivisionError()
    assert isinstance(sayline("generate", "Hello.").exception, ZeroDivisionError)


def test_all_options_reach_the_model(sayline: Sayline, counting: CountingModel) -> None:
    options = (
        "--voice somebody --variant english --config own.yaml --temperature 0.5 --decode-steps 4 --noise-clamp 2 "
        "--eos-threshold -3 --frames-after-eos 2 --device cuda --precision int8 --seed 9"
    )
    assert sayline("generate", "Hello.", *options.split()).exit_code == 0
    assert counting.calls == {
        "voice": "somebody",
        "truncate": False,
        "variant": "english",
        "config": "own.yaml",
        "temp": 0.5,
        "lsd_decode_steps": 4,
        "noise_clamp": 2.0,
        "eos_threshold": -3.0,
        "frames_after_eos": 2,
        "device": "cuda",
        "precision": "int8",
        "seed": 9,
        "text": "Hello.",
    }


# Errors


@pytest.mark.parametrize("arguments", [[], [""], [" \n "], ["\x00\x01\x1b"], ["😀🎉"], ["\ud800"]])
def test_text_without_words_is_a_usage_error(arguments: list[str], sayline: Sayline, counting: CountingModel) -> None:
    assert "say" in usage_error(sayline("generate", *arguments))
    assert not Path("speech.wav").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--temperature", "-1"), ("--decode-steps", "0"), ("--frames-after-eos", "-1"), ("--threads", "0")],
)
def test_option_out_of_range_is_named(option: str, value: str, sayline: Sayline, counting: CountingModel) -> None:
    result = sayline("generate", "Hello.", option, value)
    assert result.exit_code == 2
    assert option in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--variant frensh", "did you mean french"),
        ("--variant german --config own.yaml", "not both"),
        ("--config missing.yaml", "missing.yaml: no such config file"),
        ("--variant embedded --noise-clamp 0", "noise_clamp is 0.0"),
        ("--variant embedded --device abacus", "device 'abacus' is not usable"),
        ("--variant embedded --seed -1", "--seed -1 is out of range"),
        ("--output missing/speech.wav", "mkdir -p"),
        ("--output . ", "is a folder"),
        ("--voice missing.wav", "no such file: missing.wav"),
    ],
)
def test_invalid_options_are_explained(options: str, message: str, sayline: Sayline) -> None:
    assert message in usage_error(sayline("generate", "Hello.", *options.split()))


def test_unknown_voice_lists_the_available_ones(sayline: Sayline, embedded: TTSModel) -> None:
    assert "'bob'; voices: adam, clara, nora, ross" in usage_error(sayline("generate", "Hello.", "--voice", "bob"))


def _float_wav(samples: np.ndarray) -> bytes:
    data = samples.astype("<f4").tobytes()
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 24_000, 96_000, 4, 32)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE")
        + layout
        + struct.pack("<4sI", b"data", len(data))
        + data
    )


VOICES = {
    "is empty": b"",
    "is damaged, or not in a supported": b"Dear diary, " * 1000,
    "too short": wav(speech(5))[:1000],
    "is silent": wav(np.zeros(48_000)),
    "may have at most 30 s": wav(speech(600, 8000), 8000),
    "not numbers (NaN": _float_wav(np.where(speech() > 0, speech(), np.nan)),
    "has 8 channels": encode(np.tile(speech(), (8, 1)), "pcm_s16le", "wav"),
    "is sampled at 4000 Hz": wav(speech(2, 4000), 4000),
}


@pytest.mark.parametrize("message", VOICES)
def test_unusable_recording_is_explained(message: str, sayline: Sayline, embedded: TTSModel) -> None:
    Path("voice.wav").write_bytes(VOICES[message])
    output = usage_error(sayline("generate", "Hello.", "--voice", "voice.wav"))
    assert message in output
    assert "voice.wav" in output
    assert not Path("speech.wav").exists()


def test_8_bit_recording_is_accepted(sayline: Sayline, embedded: TTSModel) -> None:
    Path("voice.wav").write_bytes(encode(speech(), "pcm_u8", "wav"))
    assert sayline("generate", "Hello.", "--voice", "voice.wav").exit_code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"transformer.layers.0.self_attn/cache": torch.zeros(2, 1, 10, 2, 8)}, "made for another model"),
        ({"something": torch.zeros(3)}, "not a voice for this model"),
    ],
)
def test_voice_file_of_another_model_is_explained(
    content: dict[str, torch.Tensor], message: str, sayline: Sayline, embedded: TTSModel
) -> None:
    safetensors.torch.save_file(content, "voice.safetensors")
    output = usage_error(sayline("generate", "Hello.", "--voice", "voice.safetensors"))
    assert message in output
    assert "sayline export-voice" in output


def test_checkpoint_that_does_not_fit_its_config_is_explained(sayline: Sayline, tmp_path: Path) -> None:
    config = yaml.safe_load((EMBEDDED / "config.yaml").read_text())
    config["flow_lm"]["transformer"]["num_layers"] += 1
    Path("own.yaml").write_text(yaml.safe_dump(config))
    for file in ("model.safetensors", "tokenizer.model"):
        shutil.copy(EMBEDDED / file, tmp_path)
    assert "model.safetensors does not fit its config" in usage_error(
        sayline("generate", "Hello.", "--config", "own.yaml")
    )
