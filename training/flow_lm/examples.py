"""Training examples of FlowLM: a sentence, the latents of its speech, and phone labels for each frame.

The labels come from the synthesizer; only the auxiliary heads use them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 12.5
LABELS_PER_FRAME = 2  # phone labels per frame, since a phone may be shorter than a frame
MAX_WORD_PHONES = 12  # phone labels per word; longer words are truncated
TRAILING_FRAMES = 2  # frames of silence kept after the end of speech
MAX_FRAMES = 175


@dataclass(frozen=True, eq=False)
class Example:
    voice: int
    sentence: int
    latents: NDArray[np.float16]  # [frames, dim], not normalized
    phones: NDArray[np.int64]  # [frames, PARTS]
    words: NDArray[np.int64]  # [frames]: the word in the middle of the frame; -1: silence
    word_phones: NDArray[np.int64]  # [words, MAX_WORD_PHONES], 0 after the last phone
    end: int  # the first frame after the speech
    known_words: int | None = None  # if the text is incomplete, the number of words (`training.flow_lm.text_prefixes`)

    @property
    def frames(self) -> int:
        return len(self.latents)


def fill_pauses(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """The word of each frame; in a pause the next word, after the last word that one."""
    filled = np.where(words < 0, words.max(), words)
    return np.minimum.accumulate(filled[::-1])[::-1]


def read_names(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


def read_sentences(work: Path) -> list[str]:
    return (work / "text/sentences.txt").read_text(encoding="utf-8").splitlines()


def read_examples(work: Path, voice: str, voice_id: int, sentences: list[str]) -> Iterator[Example]:
    """All examples of a voice that have latents; `voice_id` identifies the voice in batches."""
    for path in sorted((work / "latents" / voice).glob("*.npz")):
        with np.load(path) as encoded, np.load(work / "speech" / voice / path.name) as spoken:
            latents, start = encoded["latent"], encoded["start"]
            sentence, phone_start = spoken["sentence"], spoken["phone_start"]
            phone, phone_end, word = spoken["phone"], spoken["phone_end"], spoken["word"]
        for index, sentence_id in enumerate(sentence):
            if not 0 < start[index + 1] - start[index] <= MAX_FRAMES:
                continue
            part = slice(phone_start[index], phone_start[index + 1])
            words = len(sentences[sentence_id].split())
            yield make_example(
                voice_id,
                int(sentence_id),
                latents[start[index] : start[index + 1]],
                PhoneAlignment(phone[part].astype(np.int64), phone_end[part], word[part].astype(np.int64)),
                words,
            )


@dataclass(frozen=True, eq=False)
class PhoneAlignment:
    """Consecutive phones: index, end time and word of each; silence is phone 0 of word -1."""

    phone: NDArray[np.int64]
    end_s: NDArray[np.float32]
    word: NDArray[np.int64]


def make_example(
    voice: int, sentence: int, latents: NDArray[np.float16], phones: PhoneAlignment, words: int
) -> Example:
    """Sample phone and word labels for each frame, and cut the silence after the end of speech."""
    frames = len(latents)
    times_s = (np.arange(frames * LABELS_PER_FRAME) + 0.5) / LABELS_PER_FRAME / FRAMES_PER_SECOND
    label_phones = np.minimum(np.searchsorted(phones.end_s, times_s), len(phones.phone) - 1)
    middle_s = (np.arange(frames) + 0.5) / FRAMES_PER_SECOND
    middle_phones = np.minimum(np.searchsorted(phones.end_s, middle_s), len(phones.phone) - 1)
    word_phones = np.zeros((words, MAX_WORD_PHONES), dtype=np.int64)
    for word in range(words):
        pronunciation = phones.phone[phones.word == word][:MAX_WORD_PHONES]
        word_phones[word, : len(pronunciation)] = pronunciation
    audible = np.flatnonzero(phones.phone)
    speech_s = float(phones.end_s[audible[-1]]) if len(audible) else 0.0
    end = min(frames - 1, int(np.ceil(speech_s * FRAMES_PER_SECOND)))
    kept = min(frames, end + 1 + TRAILING_FRAMES)
    frame_words = np.minimum(phones.word[middle_phones], words - 1)
    return Example(
        voice,
        sentence,
        latents[:kept],
        phones.phone[label_phones].reshape(frames, LABELS_PER_FRAME)[:kept],
        frame_words[:kept],
        word_phones,
        end,
    )
