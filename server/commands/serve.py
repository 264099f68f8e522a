"""`sayline serve`: one option for each setting of the server.

Omitted options fall back to their `SAYLINE_*` variable, then to the default in `sayline_tts.server.settings`.
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

# All arguments are passed to an inner command that is built from the settings. Importing the settings takes longer than
# all of `sayline --help`, so it must not happen before this command runs.
ALL_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def serve(context: typer.Context) -> None:
    """Run the server: streaming text-to-speech over WebSocket and HTTP.

    Prints its URL, its web page and its model when it is ready. Then try,
    in another terminal:

        echo "Hello there." | sayline pipe -o hello.wav

    Each option can also be set as an environment variable: --max-lead-ms
    is SAYLINE_MAX_LEAD_MS. The option wins. Ctrl-C stops the server.
    """
    run_with_options(context, serve, EXAMPLES, _serve)


def run_with_options(
    context: typer.Context, outer: Callable[..., None], epilog: str, command: Callable[..., None], **more: Any
) -> None:
    """Run `command` with the arguments of `outer`, and with the help text of `outer`."""
    inner = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    inner.command(help=inspect.getdoc(outer), epilog=epilog)(with_options(command, **more))
    code = inner(context.args, prog_name=context.command_path, standalone_mode=False)
    if code:
        raise typer.Exit(code)


def with_options(command: Callable[..., None], **more: Any) -> Callable[..., None]:
    """Wrap `command` with an option for every setting and for each of `more`. It gets those that the user set."""
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
    help_text = setting.meaning + (f" ({setting.allowed})" if setting.allowed else "")
    takes_no_value = setting.is_switch or setting.is_counted
    option = typer.Option(
        *names,
        help=help_text,
        metavar=None if takes_no_value else setting.placeholder,
        count=setting.is_counted,
        show_default=setting.default or "none",
        rich_help_panel=setting.group,
    )
    # Values stay strings: the settings validate them, with the same messages for flags and variables.
    kind: Any = bool if setting.is_switch else int if setting.is_counted else list[str] if setting.is_list else str
    return Annotated[kind | None, option]


def _serve(**options: Any) -> None:
    # Collections while loading find no garbage, because everything loaded stays, and would take a sixth of the time.
    gc.disable()
    try:
        from sayline_tts.server.settings import Settings

        settings = Settings.load(**options)
        from sayline_tts.server.lifecycle import serve as run  # slow, so after the settings are validated

        run(settings)
    finally:
        gc.enable()
