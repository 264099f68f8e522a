"""What users read when something goes wrong, and what the shell hears."""

import pytest
import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.terminal import Terminal, complain, plainly


def _raising(error: BaseException) -> None:
    @plainly
    def command() -> None:
        raise error

    command()


def test_a_mistake_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        _raising(InputError("this is wrong\n  and that too"))
    assert ended.value.exit_code == 2
    assert capsys.readouterr() == ("", "sayline: this is wrong and that too\n")


def test_ctrl_c_ends_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        _raising(KeyboardInterrupt())
    assert ended.value.exit_code == 130
    assert capsys.readouterr() == ("", "")


def test_what_is_our_fault_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        _raising(ZeroDivisionError())


def test_a_message_that_does_not_name_the_file_gets_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    complain(InputError("a.wav is silent"), about="a.wav")
    complain(InputError("it is silent"), about="b.wav")
    assert capsys.readouterr().err == "sayline: a.wav is silent\nsayline: b.wav: it is silent\n"


def test_a_quiet_terminal_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(quiet=True).tell("hello")
    with Terminal(quiet=True).bar("Working", 10, " s") as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_there_is_no_bar_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(quiet=False).bar("Working", 10, " s") as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_leaves_standard_output_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Terminal(quiet=False).bar("Working", 10, " s") as advance:
        print("speech")
        advance(1)
    output, errors = capsys.readouterr()
    assert output == "speech\n"
    assert "Working" in errors
