"""Error messages, exit codes and progress bars."""

import pytest
import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.terminal import Terminal, print_error, report_errors


def _raising(error: BaseException) -> None:
    @report_errors
    def command() -> None:
        raise error

    command()


def test_input_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        _raising(InputError("this is wrong\n  and that too"))
    assert ended.value.exit_code == 2
    assert capsys.readouterr() == ("", "sayline: this is wrong and that too\n")


def test_ctrl_c_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        _raising(KeyboardInterrupt())
    assert ended.value.exit_code == 130
    assert capsys.readouterr() == ("", "")


def test_other_exceptions_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        _raising(ZeroDivisionError())


def test_about_is_prepended_unless_contained(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(InputError("a.wav is silent"), about="a.wav")
    print_error(InputError("it is silent"), about="b.wav")
    assert capsys.readouterr().err == "sayline: a.wav is silent\nsayline: b.wav: it is silent\n"


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(quiet=True).print_status("hello")
    with Terminal(quiet=True).progress("Working", 10, " s") as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(quiet=False).progress("Working", 10, " s") as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_progress_bar_does_not_touch_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Terminal(quiet=False).progress("Working", 10, " s") as advance:
        print("speech")
        advance(1)
    output, errors = capsys.readouterr()
    assert output == "speech\n"
    assert "Working" in errors
