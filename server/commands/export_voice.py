"""`sayline export-voice`: convert recordings to voice files, which load instantly instead of in seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.model_choice import (
    Config,
    Device,
    ModelChoice,
    Precision,
    Quiet,
    Threads,
    Variant,
    check_voice,
)
from sayline_tts.server.commands.terminal import Terminal, print_error

if TYPE_CHECKING:
    from sayline_tts.engine.tts_model import TTSModel

EXAMPLES = """Examples:

sayline export-voice me.wav me.safetensors

sayline export-voice recordings/ voices/ --truncate

sayline generate "This is me." --voice me.safetensors"""

VOICE_FILE = ".safetensors"
AUDIO_FILES = {
    ".3gp", ".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mka", ".mkv", ".mov", ".mp3", ".mp4",
    ".oga", ".ogg", ".opus", ".w64", ".wav", ".wave", ".webm",
}  # fmt: skip

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="Path or URL of a recording with 5 to 30 s of clear speech, or a folder of recordings."
    ),
]
Output = Annotated[
    Path,
    typer.Argument(
        metavar="OUTPUT",
        help="The .safetensors file to write, or a folder for several. Existing files are overwritten.",
    ),
]
Truncate = Annotated[bool, typer.Option("--truncate", help="Use the first 30 s of longer recordings.")]


class ExportError(InputError):
    code = "bad_export"


@dataclass(frozen=True)
class Job:
    """Conversion of one recording to a voice file."""

    source: str | Path
    target: Path

    def run(self, model: "TTSModel", truncate: bool) -> None:
        """Write the voice file atomically. Raises `InputError`."""
        from sayline_tts.engine.tts_model import export_model_state

        state = model.get_state_for_audio_prompt(self.source, truncate)
        try:
            export_model_state(state, self.target)
        except OSError as error:
            raise ExportError(
                f"cannot write {self.target} ({error.strerror or error}); choose another OUTPUT"
            ) from None


# More than 8 parameters, because Typer makes one option from each.
def export_voice(
    source: Source,
    output: Output,
    truncate: Truncate = False,
    variant: Variant = "auto",
    config: Config = None,
    device: Device = "cpu",
    threads: Threads = 1,
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Convert a recording, or each recording in a folder, to a voice file.

    A voice file loads instantly, whereas a recording takes seconds each
    time. A voice file works only with the model that it was made for, so
    give the same --variant when you use it.

    In a folder, unusable recordings are reported and skipped; the exit
    code is then 1.
    """
    terminal = Terminal(quiet)
    output = output.expanduser()
    if Path(source).expanduser().is_dir():
        jobs = _jobs_of_folder(Path(source).expanduser(), output)
    else:
        jobs = [_job_of_file(source, output)]
    model, _ = ModelChoice(variant, config, device, threads, precision).load(terminal)
    made = 0
    with terminal.progress("Converting recordings", len(jobs), f" of {len(jobs)}") as advance:
        for job in jobs:
            try:
                job.run(model, truncate)
                made += 1
                terminal.print_status(f"{job.source} -> {job.target}")
            except InputError as error:
                if len(jobs) == 1:
                    raise
                print_error(error, about=Path(job.source).name)
            advance(1)
    if made < len(jobs):
        terminal.print_status(f"{made} of {len(jobs)} recordings converted.")
        raise typer.Exit(1)


def _job_of_file(source: str, output: Path) -> Job:
    check_voice(source)
    if output.is_dir():
        return Job(source, output / (Path(urlsplit(source).path).stem + VOICE_FILE))
    if output.suffix != VOICE_FILE:
        raise ExportError(
            f"OUTPUT {output} is neither an existing folder nor a {VOICE_FILE} file; try {output.stem}{VOICE_FILE}"
        )
    if not output.parent.is_dir():
        raise ExportError(f"folder {output.parent} does not exist; create it (mkdir -p), or choose another OUTPUT")
    return Job(source, output)


def _jobs_of_folder(folder: Path, output: Path) -> list[Job]:
    if output.suffix == VOICE_FILE or (output.exists() and not output.is_dir()):
        raise ExportError(f"{folder} is a folder, so OUTPUT must be a folder too; {output} is a file")
    recordings = sorted(
        file for file in folder.iterdir()
        if file.suffix.lower() in AUDIO_FILES and file.is_file() and not file.name.startswith(".")
    )  # fmt: skip
    if not recordings:
        raise ExportError(f"no recordings in {folder}; add files such as .wav, .flac, .mp3, .ogg or .m4a")
    by_name: dict[str, Path] = {}
    for recording in recordings:
        if by_name.setdefault(recording.stem, recording) != recording:
            other = by_name[recording.stem].name
            raise ExportError(
                f"{other} and {recording.name} would both become {recording.stem}{VOICE_FILE}; rename one"
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot create folder {output} ({error.strerror or error}); choose another OUTPUT") from None
    return [Job(recording, output / (recording.stem + VOICE_FILE)) for recording in recordings]
