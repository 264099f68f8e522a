import pytest
from sayline.errors import ProtocolError
from sayline.messages import Ack, Cancel, End, Flush, Start, Text
from sayline.resend_buffer import ResendBuffer

START, END = Start("a"), End("a")


def text(characters: str) -> Text:
    return Text("a", characters)


def sent(*messages: Start | Text | Flush | End | Cancel | Ack) -> ResendBuffer:
    all_of_it = ResendBuffer()
    for message in messages:
        all_of_it.add(message)
    return all_of_it


def test_unreceived_messages_are_resent_in_order() -> None:
    said = sent(START, text("one "), Flush("a"), text("two"), END)
    assert said.after(2) == [Flush("a"), text("two"), END]
    assert said.after(0) == [START, text("one "), Flush("a"), text("two"), END]
    assert said.after(5) == []


def test_acks_are_neither_counted_nor_resent() -> None:
    said = sent(START, Ack("a", 80), text("one"))
    assert said.count == 2
    assert said.after(1) == [text("one")]


def test_spoken_text_is_discarded() -> None:
    said = sent(START, text("One. "), text("Two"), text(" three. "))
    said.spoken(4)
    assert said.pending_chars == 12
    said.spoken(15)
    assert said.pending_chars == 1
    assert said.after(3) == [text(" three. ")]
    with pytest.raises(ProtocolError, match="acknowledged 1 of 4"):
        said.after(1)


def test_flush_after_spoken_text_is_kept() -> None:
    said = sent(START, text("One."), Flush("a"))
    said.spoken(4)
    assert said.after(2) == [Flush("a")]


def test_older_segment_changes_nothing() -> None:
    said = sent(START, text("One. Two. "))
    said.spoken(9)
    said.spoken(4)
    assert said.pending_chars == 1


def test_impossible_count_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="which is impossible"):
        sent(START).after(2)


def test_another_server_is_sent_what_has_not_been_spoken() -> None:
    said = sent(START, text("One. "), text("Two "), Flush("a", "x"), text("three."), END)
    said.spoken(4)
    again = Start("a", progress={"seq": 9, "start_sample": 1920, "start_char": 7})
    assert said.restart(again, 7) == [again, text("o "), Flush("a", "x"), text("three."), END]
    assert said.count == 5
    assert said.after(4) == [END]
    assert said.after(1) == [text("o "), Flush("a", "x"), text("three."), END]
    assert said.pending_chars == 8


def test_another_server_is_not_sent_flushes_that_were_answered() -> None:
    said = sent(START, text("One."), Flush("a", "1"), Flush("a", "2"), text(" Two."), Flush("a", "3"))
    said.flushed()
    assert said.restart(START, 4) == [START, Flush("a", "2"), text(" Two."), Flush("a", "3")]
    said.flushed()
    said.add(END)
    assert said.restart(START, 9) == [START, Flush("a", "3"), END]


def test_another_server_is_sent_everything_if_nothing_was_spoken() -> None:
    said = sent(START, text("One."), Cancel("a", 0.0))
    assert said.restart(START, 0) == [START, text("One."), Cancel("a", 0.0)]
