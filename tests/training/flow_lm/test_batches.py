"""Layout of batches, labels, and the sampler."""

import random

import numpy as np
import torch

from training.flow_lm.batches import Batch, BatchSampler, make_batch
from training.flow_lm.examples import LABELS_PER_FRAME, MAX_WORD_PHONES, Example, PhoneAlignment, make_example

TEXTS = ["Go on.", "Take it home now.", "Yes."]


def tokenize_characters(text: str, sample: bool) -> tuple[list[int], list[int]]:
    """A token for each character; a blank belongs to the word after it."""
    words = np.cumsum([letter == " " for letter in text]).tolist()
    return [ord(letter) for letter in text], words


def example(sentence: int, frames: int, voice: int = 0) -> Example:
    words = len(TEXTS[sentence].split())
    return Example(
        voice,
        sentence,
        np.full((frames, 32), sentence + 1, np.float16) + np.arange(frames, dtype=np.float16)[:, None],
        np.ones((frames, LABELS_PER_FRAME), np.int64),
        np.minimum(np.arange(frames), words - 1),
        np.ones((words, MAX_WORD_PHONES), np.int64),
        frames - 2,
    )


def batch_of(*examples: Example) -> Batch:
    return make_batch([examples], [np.zeros((5, 32), np.float16)], TEXTS, tokenize_characters, False)


def test_row_is_text_followed_by_frames() -> None:
    batch = batch_of(example(0, 4), example(1, 6))
    assert batch.source.shape == (2, len(TEXTS[1]) + 6)
    tokens = len(TEXTS[0]) + len(TEXTS[1])
    assert batch.source[0].tolist()[:10] == [*range(6), *range(tokens, tokens + 4)]
    assert set(batch.source[0].tolist()[10:]) == {tokens + 10}  # padding
    assert "".join(map(chr, batch.tokens)) == TEXTS[0] + TEXTS[1]


def test_each_frame_is_predicted_from_the_position_of_the_previous_one() -> None:
    batch = batch_of(example(0, 4), example(1, 6))
    places = batch.source.flatten()[batch.predictor] - len(batch.tokens)
    assert places.tolist() == list(range(10))
    assert batch.first.nonzero().flatten().tolist() == [0, 4]
    assert batch.row.tolist() == [0] * 4 + [1] * 6


def test_word_mask_covers_the_tokens_of_the_spoken_word() -> None:
    batch = batch_of(example(0, 4))
    assert batch.word_mask[0].nonzero().flatten().tolist() == [0, 1]  # "Go"
    assert batch.word_mask[3].nonzero().flatten().tolist() == [2, 3, 4, 5]  # " on."


def test_end_labels_start_after_the_speech() -> None:
    assert batch_of(example(0, 4)).ends.tolist() == [0, 0, 1, 1]


def test_word_ends_are_the_last_tokens_of_words() -> None:
    batch = batch_of(example(0, 4), example(2, 3))
    assert batch.word_ends.tolist() == [1, 5, 10 + 3]


def test_labels_follow_phone_times() -> None:
    times = PhoneAlignment(
        np.array([0, 7, 8, 0]), np.array([0.08, 0.16, 0.27, 0.48], np.float32), np.array([-1, 0, 1, -1])
    )
    made = make_example(0, 0, np.zeros((6, 32), np.float16), times, 2)
    assert made.phones.tolist() == [[0, 0], [7, 7], [8, 8], [8, 0], [0, 0], [0, 0]]
    assert made.words.tolist() == [-1, 0, 1, -1, -1, -1]
    assert made.end == 4
    assert made.word_phones[:, :2].tolist() == [[7, 0], [8, 0]]


def test_batches_are_deterministic_for_a_seed() -> None:
    examples = [
        example(sentence, 4 + frames, voice) for sentence in range(3) for frames in range(12) for voice in range(2)
    ]
    batches = BatchSampler(examples, TEXTS, tokenize_characters, positions=80, groups=2)
    one, same = (batches.draw(random.Random(3)) for _ in range(2))
    assert torch.equal(one.latents, same.latents)
    assert one.prompts.shape[0] == 2
    assert len(one.source) % 2 == 0


def test_batches_of_incomplete_texts_have_no_end() -> None:
    long = "Then take it home with you again now."
    words = np.repeat(np.arange(8), 3)
    examples = [
        Example(
            0,
            0,
            np.zeros((24, 32), np.float16),
            np.ones((24, LABELS_PER_FRAME), np.int64),
            words,
            np.ones((8, MAX_WORD_PHONES), np.int64),
            22,
        )
    ] * 8
    sampler = BatchSampler(examples, [long], tokenize_characters, positions=400, groups=1)
    complete, incomplete = (sampler.draw(random.Random(3), prefix_ratio=ratio) for ratio in (0.0, 1.0))
    assert complete.ends.sum() == 2 * len(complete.source)
    assert len(incomplete.latents) < len(complete.latents)
    assert len(incomplete.tokens) < len(complete.tokens)
    assert incomplete.word_mask.any(1).all()


def test_augmented_speakers_replace_some_voices() -> None:
    examples = [
        example(sentence, 4 + frames, voice) for sentence in range(3) for frames in range(4) for voice in range(3)
    ]
    for each in examples:
        each.latents[:] = each.voice
    batches = BatchSampler(examples, TEXTS, tokenize_characters, positions=80, groups=2)
    drawn = [set(batches.draw(random.Random(seed)).latents.unique().tolist()) for seed in range(40)]
    assert {0.0, 1.0} in drawn
    assert any(2.0 in voices for voices in drawn)
    assert sum(2.0 in voices for voices in drawn) < 30
