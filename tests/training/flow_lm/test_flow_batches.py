"""Rows of batches: what lies where."""

import random

import numpy as np
import torch

from training.flow_lm.flow_batches import Batch, Batches, make_batch
from training.flow_lm.flow_clips import PARTS, WORD_PHONES, Clip, Phones, label

TEXTS = ["Go on.", "Take it home now.", "Yes."]


def letters(text: str, sample: bool) -> tuple[list[int], list[int]]:
    """A piece for each letter; a blank belongs to the word behind it."""
    words = np.cumsum([letter == " " for letter in text]).tolist()
    return [ord(letter) for letter in text], words


def clip(sentence: int, frames: int, voice: int = 0) -> Clip:
    words = len(TEXTS[sentence].split())
    return Clip(
        voice,
        sentence,
        np.full((frames, 32), sentence + 1, np.float16) + np.arange(frames, dtype=np.float16)[:, None],
        np.ones((frames, PARTS), np.int64),
        np.minimum(np.arange(frames), words - 1),
        np.ones((words, WORD_PHONES), np.int64),
        frames - 2,
    )


def batch_of(*clips: Clip) -> Batch:
    return make_batch([clips], [np.zeros((5, 32), np.float16)], TEXTS, letters, False)


def test_a_row_is_its_text_then_its_frames() -> None:
    batch = batch_of(clip(0, 4), clip(1, 6))
    assert batch.source.shape == (2, len(TEXTS[1]) + 6)
    tokens = len(TEXTS[0]) + len(TEXTS[1])
    assert batch.source[0].tolist()[:10] == [*range(6), *range(tokens, tokens + 4)]
    assert set(batch.source[0].tolist()[10:]) == {tokens + 10}  # padding
    assert "".join(map(chr, batch.tokens)) == TEXTS[0] + TEXTS[1]


def test_each_frame_is_said_where_the_one_before_it_lies() -> None:
    batch = batch_of(clip(0, 4), clip(1, 6))
    places = batch.source.flatten()[batch.speaks] - len(batch.tokens)
    assert places.tolist() == list(range(10))
    assert batch.first.nonzero().flatten().tolist() == [0, 4]
    assert batch.row.tolist() == [0] * 4 + [1] * 6


def test_the_tokens_of_the_spoken_word_are_in_focus() -> None:
    batch = batch_of(clip(0, 4))
    assert batch.focus[0].nonzero().flatten().tolist() == [0, 1]  # "Go"
    assert batch.focus[3].nonzero().flatten().tolist() == [2, 3, 4, 5]  # " on."


def test_speech_is_over_behind_its_last_sound() -> None:
    assert batch_of(clip(0, 4)).ends.tolist() == [0, 0, 1, 1]


def test_spelling_is_asked_behind_the_last_piece_of_each_word() -> None:
    batch = batch_of(clip(0, 4), clip(2, 3))
    assert batch.word_ends.tolist() == [1, 5, 10 + 3]


def test_labels_follow_the_times_of_the_sounds() -> None:
    times = Phones(np.array([0, 7, 8, 0]), np.array([0.08, 0.16, 0.27, 0.48], np.float32), np.array([-1, 0, 1, -1]))
    made = label(0, 0, np.zeros((6, 32), np.float16), times, 2)
    assert made.phones.tolist() == [[0, 0], [7, 7], [8, 8], [8, 0], [0, 0], [0, 0]]
    assert made.words.tolist() == [-1, 0, 1, -1, -1, -1]
    assert made.end == 4
    assert made.word_phones[:, :2].tolist() == [[7, 0], [8, 0]]


def test_the_same_seed_draws_the_same_batch_of_rows_of_like_length() -> None:
    clips = [clip(sentence, 4 + frames, voice) for sentence in range(3) for frames in range(12) for voice in range(2)]
    batches = Batches(clips, TEXTS, letters, positions=80, groups=2)
    one, same = (batches.draw(random.Random(3)) for _ in range(2))
    assert torch.equal(one.latents, same.latents)
    assert one.prompts.shape[0] == 2
    assert len(one.source) % 2 == 0


def test_strangers_stand_in_for_some_of_the_own_voices() -> None:
    clips = [clip(sentence, 4 + frames, voice) for sentence in range(3) for frames in range(4) for voice in range(3)]
    for each in clips:
        each.latents[:] = each.voice
    batches = Batches(clips, TEXTS, letters, positions=80, groups=2)
    drawn = [set(batches.draw(random.Random(seed)).latents.unique().tolist()) for seed in range(40)]
    assert {0.0, 1.0} in drawn
    assert any(2.0 in voices for voices in drawn)
    assert sum(2.0 in voices for voices in drawn) < 30
