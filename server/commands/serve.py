"""`sayline serve`: the server's settings as options, one for each. Knows nothing of what they do.

What is not given is left to its `SAYLINE_*` variable, and after that to the default of `sayline_tts.server.settings`.
"""

import gc
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sayline_tts.server.settings_table import Setting

EXAMPLES = """Examples:

sayline serve --variant embedded

SAYLINE_API_KEY=a-long-random-word sayline serve --host 0.0.0.0 --port 9000"""

# Everything is left to the command inside, whose options are not known before the settings are loaded: that takes
# longer than all that `sayline --help` does.
ALL_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def serve(context: typer.Context) -> None:
    """Run the server: text in over a WebSocket, speech out while it comes.

    It prints where it listens, where its page is, and which weights
    speak. Then try, in another terminal:

        echo "Hello there." | sayline pipe -o hello.wav

    Every option can also be an environment variable: --max-lead-ms is
    SAYLINE_MAX_LEAD_MS. The option wins. Ctrl-C stops the server.
    """
    run_with_options(context, serve, EXAMPLES, _serve)


def run_with_options(
    context: typer.Context, outside: Callable[..., None], epilog: str, command: Callable[..., None], **more: Any
) -> None:
    """Run `command` with the arguments that were given to `outside`, whose help is its own."""
    inside = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    inside.command(help=inspect.getdoc(outside), epilog=epilog)(with_options(command, **more))
    code = inside(context.args, prog_name=context.command_path, standalone_mode=False)
    if code:
        raise typer.Exit(code)


def with_options(command: Callable[..., None], **more: Any) -> Callable[..., None]:
    """The command, with an option for every setting and for each of `more`; those given are its keyword arguments."""
    from sayline_tts.server.settings_table import settings

    def run(**options: Any) -> None:
        command(**{name: value for name, value in options.items() if value not in (None, [], 0) or value is False})

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in {**more, **{each.name: _option(each) for each in settings()}}.items()
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _option(setting: "Setting") -> Any:
    names = [setting.flag] if not setting.is_switch else [f"{setting.flag}/--no-{setting.flag[2:]}"]
    told = setting.meaning + (f" ({setting.allowed})" if setting.allowed else "")
    bare = setting.is_switch or setting.is_counted
    option = typer.Option(
        *names,
        help=told,
        metavar=None if bare else setting.placeholder,
        count=setting.is_counted,
        show_default=setting.default or "none",
    )
    # Texts: what they may be is for the settings to say, in the same words for flags and variables.
    kind: Any = bool if setting.is_switch else int if setting.is_counted else list[str] if setting.is_list else str
    return Annotated[kind | None, option]


def _serve(**options: Any) -> None:
    # What is loaded from here on stays, so looking for garbage in it again and again is in vain: a sixth of its time.
    gc.disable()
    try:
        from sayline_tts.server.settings import Settings

        settings = Settings.load(**options)
        from sayline_tts.server.app import (  # after the settings: it takes seconds, and a mistake in them shows at once
            serve as run,
        )

        run(settings)
    finally:
        gc.enable()
