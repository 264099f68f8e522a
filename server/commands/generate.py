"""`sayline generate`: speak a text to a WAV file, or stream it to standard output."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.input_text import InputText
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

Text = Annotated[str | None, typer.Argument(metavar="TEXT", help="Text to speak; - reads standard input (UTF-8).")]
VoiceName = Annotated[
    str | None,
    typer.Option(
        "--voice",
        "-v",
        metavar="VOICE",
        help="Voice: a name (see sayline voices), or the path or URL of a recording to clone (5 to 30 s of clear "
        "speech) or of a .safetensors file from sayline export-voice.",
        show_default="the model's",
    ),
]
OutputName = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="WAV file to write; an existing one is overwritten; - for standard output.",
        show_default="speech.wav",
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Write raw samples (16-bit mono, 24 kHz) to standard output as they are generated, for a player.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="X",
        help="Sampling temperature: 0 is monotonous and deterministic, 1 is erratic.",
        show_default="the model's, usually 0.3",
    ),
]
DecodeSteps = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Flow decoder steps per 80 ms frame: more are slower and may sound better."),
]
NoiseClamp = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Clamp the sampled noise to this absolute value, more than 0: lower is safer and less lively."
    ),
]
EosThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Logit threshold for the end of speech: lower ends earlier.",
        show_default="the model's",
    ),
]
FramesAfterEos = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Frames of 80 ms to generate after the end of speech.",
        show_default="3 to 5",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Random seed: the same text, voice and seed give the same audio.", show_default="random"
    ),
]


@dataclass
class Timing:
    """Timing of one generation. Time spent writing is excluded, because a player blocks for as long as the audio."""

    load_s: float
    first_frame_s: float = 0.0
    generation_s: float = 0.0
    speech_s: float = 0.0

    def timed(self, frames: Iterator["Tensor"], sample_rate_hz: int) -> Iterator["Tensor"]:
        while True:
            start = time.monotonic()
            frame = next(frames, None)
            self.generation_s += time.monotonic() - start
            if frame is None:
                return
            self.first_frame_s = self.first_frame_s or self.generation_s
            self.speech_s += len(frame) / sample_rate_hz
            yield frame

    def __str__(self) -> str:
        factor = self.generation_s / self.speech_s if self.speech_s else 0.0
        speed = f"{1 / factor:.1f} x real time" if factor else "no time"
        return (
            f"{self.speech_s:.2f} s of speech, first frame after {self.first_frame_s * 1000:.0f} ms, "
            f"real-time factor {factor:.2f} ({speed}), model loaded in {self.load_s:.1f} s"
        )


# More than 8 parameters, because Typer makes one option from each.
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
    """Speak a text to a WAV file, or stream it to a player.

    The file is playable at any time, even if the command is interrupted.
    The last line reports the speed. A real-time factor of 0.25 means that
    one second of speech took a quarter of a second to generate.
    """
    from sayline_tts.engine.audio.onset import fade_in  # imports numpy, which slows down every command's help

    terminal = Terminal(quiet)
    target = SpeechOutput.parse(output, stream)
    input_text = InputText(text, terminal)
    if voice:
        check_voice(voice)
    seed = _checked_seed(seed)
    choice = ModelChoice(variant, config, device, threads, precision)
    model, load_s = choice.load(terminal, temperature, decode_steps, noise_clamp, eos_threshold)
    state = load_voice(model, voice)
    terminal.print_status(f"Voice: {voice or model.default_voice}, seed: {seed}")
    timing = Timing(load_s)
    frames = model.generate_audio_stream(state, input_text.text, frames_after_eos, seed=seed)
    try:
        with target.opened(model.sample_rate), terminal.progress("Speaking", input_text.estimated_s, " s") as advance:
            for number, frame in enumerate(timing.timed(frames, model.sample_rate)):
                target.write(frame.numpy() if number else fade_in(frame.numpy()))
                advance(len(frame) / model.sample_rate)
    except KeyboardInterrupt:
        terminal.print_status(f"Stopped; wrote {timing.speech_s:.2f} s of speech to {target.name}.")
        raise
    terminal.print_status(f"Written to {target.name}: {timing}.")


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(31)
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed {seed} is out of range; give a whole number from 0 to {LARGEST_SEED}")
    return seed
