"""`sayline generate`: a text to a WAV file, or to standard output while it is being made."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.input_text import Script
from sayline_tts.server.commands.model_choice import (
    Config,
    Device,
    ModelChoice,
    Precision,
    Quiet,
    Threads,
    Variant,
    check_voice,
    load_voice,
)
from sayline_tts.server.commands.speech_output import SpeechOutput
from sayline_tts.server.commands.terminal import Terminal

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLES = """Examples:

sayline generate "Hello there." -o hello.wav

sayline generate - --voice ross --variant embedded < story.txt

sayline generate "Good evening." --stream | aplay -r 24000 -f S16_LE"""

LARGEST_SEED = 2**63 - 1

Text = Annotated[str | None, typer.Argument(metavar="TEXT", help="What to speak; - reads standard input (UTF-8).")]
VoiceName = Annotated[
    str | None,
    typer.Option(
        "--voice",
        "-v",
        metavar="VOICE",
        help="Who speaks: a name (sayline voices lists them), or a path or URL of 5 to 30 s of clear speech to clone, "
        "or of a .safetensors file from sayline export-voice.",
        show_default="the model's own",
    ),
]
OutputName = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="WAV file to write, over the one that is there; - for standard output.",
        show_default="speech.wav",
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream", help="Write bare samples (16-bit, mono, 24 kHz) to standard output as they are made, for a player."
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="X",
        help="Liveliness: 0 is flat and always the same, 1 is wild.",
        show_default="the model's, mostly 0.3",
    ),
]
DecodeSteps = Annotated[
    int, typer.Option(min=1, metavar="N", help="Passes over each 80 ms of sound: more are slower, and may sound finer.")
]
NoiseClamp = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Bound of the noise that speech is made from, more than 0: lower is safer and duller."
    ),
]
EosThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="How sure the model must be that it has finished (a logit): lower ends earlier.",
        show_default="the model's",
    ),
]
FramesAfterEos = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Frames of 80 ms to go on for after that.",
        show_default="3 to 5",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Repeats a take: same text, voice and seed, same sound.", show_default="a random one"
    ),
]


@dataclass
class Speed:
    """How fast it went; seconds. Writing does not count, because a player takes as long as the speech does."""

    load_s: float
    first_frame_s: float = 0.0
    making_s: float = 0.0
    speech_s: float = 0.0

    def timed(self, frames: Iterator["Tensor"], sample_rate_hz: int) -> Iterator["Tensor"]:
        while True:
            start = time.monotonic()
            frame = next(frames, None)
            self.making_s += time.monotonic() - start
            if frame is None:
                return
            self.first_frame_s = self.first_frame_s or self.making_s
            self.speech_s += len(frame) / sample_rate_hz
            yield frame

    def __str__(self) -> str:
        factor = self.making_s / self.speech_s if self.speech_s else 0.0
        faster = f"{1 / factor:.1f} x as fast as it plays" if factor else "no time"
        return (
            f"{self.speech_s:.2f} s of speech, first frame after {self.first_frame_s * 1000:.0f} ms, "
            f"real-time factor {factor:.2f} ({faster}), model loaded in {self.load_s:.1f} s"
        )


def generate(
    text: Text = None,
    voice: VoiceName = None,
    output: OutputName = None,
    stream: Stream = False,
    variant: Variant = "auto",
    config: Config = None,
    temperature: Temperature = None,
    decode_steps: DecodeSteps = 1,
    noise_clamp: NoiseClamp = None,
    eos_threshold: EosThreshold = None,
    frames_after_eos: FramesAfterEos = None,
    device: Device = "cpu",
    threads: Threads = 1,
    precision: Precision = "auto",
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Speak a text into a WAV file, or to a player while it is being made.

    The file grows while the speech is made, and plays however it ends.
    The last line tells how fast it went. A real-time factor of 0.25 means
    that a second of speech took a quarter of a second.
    """
    terminal = Terminal(quiet)
    target = SpeechOutput.parse(output, stream)
    script = Script(text, terminal)
    if voice:
        check_voice(voice)
    seed = _checked(seed)
    choice = ModelChoice(variant, config, device, threads, precision)
    model, load_s = choice.load(terminal, temperature, decode_steps, noise_clamp, eos_threshold)
    state = load_voice(model, voice)
    terminal.tell(f"Voice: {voice or model.default_voice}, seed: {seed}")
    speed = Speed(load_s)
    frames = model.generate_audio_stream(state, script.text, frames_after_eos, seed=seed)
    try:
        with target.opened(model.sample_rate), terminal.bar("Speaking", script.likely_seconds, " s") as advance:
            for frame in speed.timed(frames, model.sample_rate):
                target.write(frame.numpy())
                advance(len(frame) / model.sample_rate)
    except KeyboardInterrupt:
        terminal.tell(f"Stopped; {speed.speech_s:.2f} s of speech are in {target.name}.")
        raise
    terminal.tell(f"Written to {target.name}: {speed}.")


def _checked(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(31)
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed is {seed}: give a whole number from 0 to {LARGEST_SEED}")
    return seed
