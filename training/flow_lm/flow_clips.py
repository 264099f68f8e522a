"""Clips as FlowLM learns from them: a sentence, the latents of its speech, and what is said in each frame.

Which phone sounds when is known from the synthesizer. It is only used to help learning (`flow_helpers`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 12.5
PARTS = 2  # of a frame that have a phone label each: a phone may be shorter than a frame
WORD_PHONES = 12  # of a word that are labels; longer words are cut
CLOSING_FRAMES = 2  # of the silence behind the last sound that are still speech
LONGEST_FRAMES = 150
VALIDATION_EVERY = 101  # of all sentences one is for validation; odd, so that each speaker reads some of them


@dataclass(frozen=True, eq=False)
class Clip:
    voice: int
    sentence: int
    latents: NDArray[np.float16]  # [frames, dim], the codec's scale
    phones: NDArray[np.int64]  # [frames, PARTS]
    words: NDArray[np.int64]  # [frames]: the word in the middle of the frame; -1: silence
    word_phones: NDArray[np.int64]  # [words, WORD_PHONES], 0 behind the last one
    end: int  # the first frame behind the speech

    @property
    def frames(self) -> int:
        return len(self.latents)


def read_names(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


def read_sentences(work: Path) -> list[str]:
    return (work / "text/sentences.txt").read_text(encoding="utf-8").splitlines()


def for_validation(sentence: int) -> bool:
    return sentence % VALIDATION_EVERY == 0


def read_clips(work: Path, voice: str, number: int, sentences: list[str]) -> Iterator[Clip]:
    """All clips of a voice that have latents; `number` is what the voice is called in batches."""
    for path in sorted((work / "latents" / voice).glob("*.npz")):
        with np.load(path) as encoded, np.load(work / "speech" / voice / path.name) as spoken:
            latents, start = encoded["latent"], encoded["start"]
            sentence, phone_start = spoken["sentence"], spoken["phone_start"]
            phone, phone_end, word = spoken["phone"], spoken["phone_end"], spoken["word"]
        for clip, number_of_sentence in enumerate(sentence):
            if not 0 < start[clip + 1] - start[clip] <= LONGEST_FRAMES:
                continue
            part = slice(phone_start[clip], phone_start[clip + 1])
            words = len(sentences[number_of_sentence].split())
            yield label(
                number,
                int(number_of_sentence),
                latents[start[clip] : start[clip + 1]],
                Phones(phone[part].astype(np.int64), phone_end[part], word[part].astype(np.int64)),
                words,
            )


@dataclass(frozen=True, eq=False)
class Phones:
    """One after the other: which, when it ends in seconds, of which word (-1: silence, which is phone 0)."""

    phone: NDArray[np.int64]
    end_s: NDArray[np.float32]
    word: NDArray[np.int64]


def label(voice: int, sentence: int, latents: NDArray[np.float16], phones: Phones, words: int) -> Clip:
    frames = len(latents)
    times_s = (np.arange(frames * PARTS) + 0.5) / PARTS / FRAMES_PER_SECOND
    at = np.minimum(np.searchsorted(phones.end_s, times_s), len(phones.phone) - 1)
    middle_s = (np.arange(frames) + 0.5) / FRAMES_PER_SECOND
    at_middle = np.minimum(np.searchsorted(phones.end_s, middle_s), len(phones.phone) - 1)
    word_phones = np.zeros((words, WORD_PHONES), dtype=np.int64)
    for word in range(words):
        said = phones.phone[phones.word == word][:WORD_PHONES]
        word_phones[word, : len(said)] = said
    sounding = np.flatnonzero(phones.phone)
    speech_s = float(phones.end_s[sounding[-1]]) if len(sounding) else 0.0
    end = min(frames - 1, int(np.ceil(speech_s * FRAMES_PER_SECOND)))
    kept = min(frames, end + 1 + CLOSING_FRAMES)
    word_of_frame = np.minimum(phones.word[at_middle], words - 1)
    return Clip(
        voice,
        sentence,
        latents[:kept],
        phones.phone[at].reshape(frames, PARTS)[:kept],
        word_of_frame[:kept],
        word_phones,
        end,
    )
