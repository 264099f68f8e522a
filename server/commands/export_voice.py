"""`sayline export-voice`: recordings to voice files, which load at once where a recording takes seconds."""

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
from sayline_tts.server.commands.terminal import Terminal, complain

if TYPE_CHECKING:
    from sayline_tts.engine.tts_model import TTSModel

EXAMPLES = """Examples:

sayline export-voice me.wav me.safetensors

sayline export-voice recordings/ voices/ --truncate

sayline generate "This is me." --voice me.safetensors"""

VOICE_FILE = ".safetensors"
AUDIO_FILES = {
    ".3gp", ".aac", ".aif", ".aiff", ".amr", ".flac", ".m4a", ".mka", ".mkv", ".mov", ".mp3", ".mp4", ".oga", ".ogg",
    ".opus", ".wav", ".wave", ".webm",
}  # fmt: skip

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A recording: 5 to 30 s of clear speech, a path or a URL. Or a folder of recordings."
    ),
]
Output = Annotated[
    Path,
    typer.Argument(
        metavar="OUTPUT", help="The .safetensors file to write, or a folder for them. Files there are written over."
    ),
]
Truncate = Annotated[bool, typer.Option("--truncate", help="Use the first 30 s of a recording that is longer.")]


class ExportError(InputError):
    code = "bad_export"


@dataclass(frozen=True)
class Job:
    """One recording to make one voice file of."""

    source: str | Path
    target: Path

    def run(self, model: "TTSModel", truncate: bool) -> None:
        """Writes a whole file or none. Raises `InputError`."""
        from sayline_tts.engine.tts_model import export_model_state

        state = model.get_state_for_audio_prompt(self.source, truncate)
        try:
            export_model_state(state, self.target)
        except OSError as error:
            raise ExportError(f"cannot write {self.target} ({error.strerror or error}); choose another place") from None


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
    """Make a voice file from a recording, or from each one in a folder.

    Speaking as a voice file starts at once; from a recording it takes
    seconds each time. A voice file speaks only with the model that it
    was made for, so name the same --variant here and there.

    Of a folder, a recording that cannot be used is reported and the
    others go on; the exit code then is 1.
    """
    terminal = Terminal(quiet)
    output = output.expanduser()
    if Path(source).expanduser().is_dir():
        jobs = _jobs_of_folder(Path(source).expanduser(), output)
    else:
        jobs = [_job_of_file(source, output)]
    model, _ = ModelChoice(variant, config, device, threads, precision).load(terminal)
    made = 0
    with terminal.bar("Making voices", len(jobs), f" of {len(jobs)}") as advance:
        for job in jobs:
            try:
                job.run(model, truncate)
                made += 1
                terminal.tell(f"{job.source} -> {job.target}")
            except InputError as error:
                if len(jobs) == 1:
                    raise
                complain(error, about=Path(job.source).name)
            advance(1)
    if made < len(jobs):
        terminal.tell(f"{made} of {len(jobs)} voices made.")
        raise typer.Exit(1)


def _job_of_file(source: str, output: Path) -> Job:
    check_voice(source)
    if output.is_dir():
        return Job(source, output / (Path(urlsplit(source).path).stem + VOICE_FILE))
    if output.suffix != VOICE_FILE:
        raise ExportError(
            f"{output} must be a folder that exists, or end in {VOICE_FILE}: try {output.stem}{VOICE_FILE}"
        )
    if not output.parent.is_dir():
        raise ExportError(f"there is no folder {output.parent}; make it first (mkdir -p), or choose another")
    return Job(source, output)


def _jobs_of_folder(folder: Path, output: Path) -> list[Job]:
    if output.suffix == VOICE_FILE or (output.exists() and not output.is_dir()):
        raise ExportError(f"{folder} is a folder, so OUTPUT must be a folder too, and not the file {output}")
    recordings = sorted(
        file for file in folder.iterdir()
        if file.suffix.lower() in AUDIO_FILES and file.is_file() and not file.name.startswith(".")
    )  # fmt: skip
    if not recordings:
        raise ExportError(f"there is no recording in {folder}; it takes files such as .wav, .flac, .mp3, .ogg, .m4a")
    by_name: dict[str, Path] = {}
    for recording in recordings:
        if by_name.setdefault(recording.stem, recording) != recording:
            twin = by_name[recording.stem].name
            raise ExportError(f"{twin} and {recording.name} would both become {recording.stem}{VOICE_FILE}; rename one")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot make the folder {output} ({error.strerror or error}); choose another") from None
    return [Job(recording, output / (recording.stem + VOICE_FILE)) for recording in recordings]
