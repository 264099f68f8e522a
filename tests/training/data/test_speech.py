"""Synthesized speech: jobs, trimming, labels. Tests of flite itself need its library."""

import ctypes.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data import neural_speakers, speech
from training.data.clips import read_clips
from training.data.flite import Flite, Phone
from training.data.phones import PHONES
from training.data.speakers import (
    FRAME_SAMPLES,
    SPEAKERS,
    TAIL_S,
    TARGET_RMS,
    Speaker,
    SynthesizedClip,
    WordMismatchError,
    augmented_speaker,
    equalize,
    find_speaker,
)


class FakeFlite:
    """Synthesizes every text as half a second of tone between two silences."""

    def synthesize(self, text: str) -> tuple[NDArray[np.int16], list[Phone]]:
        sound = np.zeros(16_000, np.int16)
        sound[4000:12_000] = 3000 * np.sin(np.arange(8000))
        words = text.split()
        spoken = [Phone("ow", 0.25 + 0.5 * (index + 1) / len(words), index) for index in range(len(words))]
        return sound, [Phone("pau", 0.25, -1), *spoken, Phone("pau", 1.0, -1)]


def fake_speaker(name: str = "tone", speed_factor: float = 1.0) -> Speaker:
    one = Speaker(name, "none", speed_factor)
    one.__dict__["_flite"] = FakeFlite()
    return one


@pytest.mark.parametrize("speed_factor", [1.0, 1.15])
def test_clip_is_trimmed_and_levelled(speed_factor: float) -> None:
    clip = fake_speaker(speed_factor=speed_factor).synthesize("one two")
    assert len(clip.samples) % FRAME_SAMPLES == 0
    loud = np.flatnonzero(np.abs(clip.samples) > 300)
    assert abs(loud[0] / 24_000 - 0.06) < 0.01
    assert loud[-1] / 24_000 == pytest.approx(0.06 + 0.5 / speed_factor, abs=0.01)
    assert len(clip.samples) / 24_000 - loud[-1] / 24_000 > TAIL_S - 0.01
    words = clip.samples[loud[0] : loud[-1]] / 2**15
    assert np.sqrt(np.mean(words**2)) == pytest.approx(TARGET_RMS, rel=0.05)
    assert [phone.word for phone in clip.phones] == [-1, 0, 1, -1]
    assert clip.phones[2].end_s == pytest.approx(0.06 + 0.5 / speed_factor, abs=0.001)
    assert clip.phones[-1].end_s * 24_000 == len(clip.samples)


def test_each_sentence_is_read_once_per_round(tmp_path: Path) -> None:
    sentences = [f"Sentence {number}." for number in range(2500)]
    read = [
        (shard.speaker, sentence) for shard in speech.shards(tmp_path, sentences, 2) for sentence in shard.sentences
    ]
    assert len(read) == len(set(read)) == 5000
    names = [one.name for one in neural_speakers.SPEAKERS]
    assert {name for name, sentence in read if sentence == 7} == {names[3], names[0]}


def test_shard_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "find_speaker", fake_speaker)
    shard = speech.ShardJob(tmp_path, "0-000", "tone", {3: "One two.", 5: "Three."})
    assert shard.synthesize() > 0
    clips = read_clips(tmp_path, ["tone"])
    assert [clip.sentence for clip in clips] == [3, 5]
    assert clips[1].phones_at(np.array([0.3])).tolist() == [PHONES.index("ow")]


def test_sentence_with_mismatched_word_count_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class JoiningSpeaker(Speaker):
        def synthesize(self, text: str) -> SynthesizedClip:
            return fake_speaker().synthesize(text.replace("half past", "half-past"))

    monkeypatch.setattr(speech, "find_speaker", lambda name: JoiningSpeaker(name, "none"))
    speech.ShardJob(tmp_path, "0-000", "tone", {3: "At half past two.", 5: "At two."}).synthesize()
    assert [clip.sentence for clip in read_clips(tmp_path, ["tone"])] == [5]


def test_sentence_without_word_times_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class MismatchingSpeaker(Speaker):
        def synthesize(self, text: str) -> SynthesizedClip:
            if "-" in text:
                raise WordMismatchError(text)
            return fake_speaker().synthesize(text)

    monkeypatch.setattr(speech, "find_speaker", lambda name: MismatchingSpeaker(name, "none"))
    speech.ShardJob(tmp_path, "0-000", "tone", {3: "At - two.", 5: "At two."}).synthesize()
    assert [clip.sentence for clip in read_clips(tmp_path, ["tone"])] == [5]


def test_named_and_augmented_speakers_are_interleaved(tmp_path: Path) -> None:
    named = list(speech.shards(tmp_path, ["One."] * 4000, 1))
    augmented = list(speech.augmented_shards(tmp_path, ["One."] * 4000, 8))
    half = speech.interleave(named, augmented)[: (len(named) + len(augmented)) // 2]
    assert abs(sum(job in named for job in half) - len(named) // 2) <= 1


@pytest.mark.skipif(not ctypes.util.find_library("flite"), reason="needs Debian's libflite1")
def test_flite_labels_words_and_keeps_voices_separate() -> None:
    plain, high = Flite("awb", {}), Flite("awb", {"duration_stretch": 1.5})
    first, phones = plain.synthesize("Well, don't stop the twenty-two.")
    slow, _ = high.synthesize("Well, don't stop the twenty-two.")
    assert max(phone.word for phone in phones) == 4
    assert {phone.name for phone in phones} <= set(PHONES)
    assert len(slow) > 1.3 * len(first)
    assert len(plain.synthesize("Well, don't stop the twenty-two.")[0]) == pytest.approx(len(first), rel=0.02)


def test_augmented_speakers_are_deterministic_and_distinct() -> None:
    assert augmented_speaker(7) == augmented_speaker(7) == find_speaker("augmented-007")
    assert len({(one.flite_voice, one.speed_factor, one.eq_db) for one in map(augmented_speaker, range(50))}) == 50
    assert {one.flite_voice for one in map(augmented_speaker, range(50))} == {one.flite_voice for one in SPEAKERS}


def test_augmented_speakers_read_different_sentences(tmp_path: Path) -> None:
    read = list(speech.augmented_shards(tmp_path, [f"Sentence {number}." for number in range(1000)], 3))
    assert [len(shard.sentences) for shard in read] == [speech.AUGMENTED_SENTENCES] * 3
    assert len({sentence for shard in read for sentence in shard.sentences}) == 3 * speech.AUGMENTED_SENTENCES


def test_equalizer_changes_the_level_of_its_bands() -> None:
    at_s = np.arange(24_000) / 24_000
    low, high = np.sin(2 * np.pi * 300 * at_s), np.sin(2 * np.pi * 4000 * at_s)
    equalized = equalize(low + high, (0.0, 0.0, 0.0, 0.0, 0.0, -20.0, -20.0, -20.0, -20.0))[2000:-2000]
    assert np.mean(equalized * low[2000:-2000]) * 2 == pytest.approx(1, rel=0.05)
    assert np.mean(equalized * high[2000:-2000]) * 2 == pytest.approx(0.1, rel=0.1)
