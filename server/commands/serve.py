"""`sayline serve`: the server's settings as options. Knows nothing of what they do.

Every default is None: then the `SAYLINE_*` variable counts, and after it the default of `server.settings`.
"""

from typing import Annotated, Any

import typer

from server.commands.model_choice import WHICH_MODEL, Config

EXAMPLES = """Examples:

sayline serve --variant embedded

SAYLINE_API_KEY=a-long-random-word sayline serve --host 0.0.0.0 --port 9000"""

LIMITS = "Limits"


def _limit(metavar: str, default: str, meaning: str) -> Any:
    return typer.Option(metavar=metavar, help=meaning, show_default=default, rich_help_panel=LIMITS)


Host = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.", show_default="127.0.0.1"),
]
Port = Annotated[int | None, typer.Option(metavar="N", help="The port; 0 takes a free one.", show_default="8000")]
Variant = Annotated[str | None, typer.Option(metavar="NAME", help=WHICH_MODEL, show_default="auto")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="What computes: cpu or cuda.", show_default="cpu")]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Compute in float32, bfloat16 or int8; auto: what the processor is built for.",
        show_default="auto",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="Threads for one pass of a network; all cores work anyway.", show_default="1"),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="WORD",
        help="What clients must know. Better set SAYLINE_API_KEY: others on this machine can see what you type here.",
        show_default="none",
    ),
]
Insecure = Annotated[
    int,
    typer.Option(
        "--insecure",
        count=True,
        help="Give it twice to listen beyond this machine without a key: then everybody there can speak.",
        show_default=False,
    ),
]
Slots = Annotated[int | None, _limit("N", "256", "Contexts (streams of speech) that have a place in memory.")]
Capacity = Annotated[int | None, _limit("N", "0", "Contexts that may speak at once; 0: as many as this machine can.")]
MaxWaiting = Annotated[int | None, _limit("N", "64", "Contexts that may wait until one of them is silent.")]
MaxContexts = Annotated[int | None, _limit("N", "16", "Open contexts in one session (connection).")]
LeadMs = Annotated[
    float | None, _limit("MS", "1000", "Speech sent ahead of what was heard, where a client asks for no other lead.")
]
MaxLeadMs = Annotated[float | None, _limit("MS", "60000", "The longest lead that a client may ask for.")]
MaxTextChars = Annotated[int | None, _limit("N", "100000", "Characters that may wait to be spoken in one context.")]
PauseMs = Annotated[float | None, _limit("MS", "800", "Half a sentence is spoken when its writer pauses so long.")]
MaxDelayMs = Annotated[
    float | None, _limit("MS", "3000", "Half a sentence is spoken so long after its first word at the latest.")
]
HeartbeatS = Annotated[
    float | None, _limit("S", "20", "Seconds after which a silent peer is asked for a sign of life.")
]


def serve(
    host: Host = None,
    port: Port = None,
    variant: Variant = None,
    config: Config = None,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
    api_key: ApiKey = None,
    insecure: Insecure = 0,
    slots: Slots = None,
    capacity: Capacity = None,
    max_waiting: MaxWaiting = None,
    max_contexts: MaxContexts = None,
    lead_ms: LeadMs = None,
    max_lead_ms: MaxLeadMs = None,
    max_text_chars: MaxTextChars = None,
    pause_ms: PauseMs = None,
    max_delay_ms: MaxDelayMs = None,
    heartbeat_s: HeartbeatS = None,
) -> None:
    """Run the server: text in over a WebSocket, speech out while it comes.

    It prints where it listens, where its page is, and which weights
    speak. Then try, in another terminal:

        echo "Hello there." | sayline pipe -o hello.wav

    Every option can also be an environment variable: --max-lead-ms is
    SAYLINE_MAX_LEAD_MS. The option wins. Ctrl-C stops the server.
    """
    from server.settings import Settings

    settings = Settings.load(
        host=host,
        port=port,
        variant=variant,
        config=config,
        device=device,
        precision=precision,
        threads=threads,
        api_key=api_key,
        insecure=insecure or None,
        slots=slots,
        capacity=capacity,
        max_waiting=max_waiting,
        max_contexts=max_contexts,
        lead_ms=lead_ms,
        max_lead_ms=max_lead_ms,
        max_text_chars=max_text_chars,
        pause_ms=pause_ms,
        max_delay_ms=max_delay_ms,
        heartbeat_s=heartbeat_s,
    )
    from server.app import serve as run  # after the settings: it takes seconds, and a mistake in them shows at once

    run(settings)
