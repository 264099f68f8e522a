"""Stage 5b: the best of some clips as each voice's prompt, `python -m training.flow_lm.prompts --work DIR --out OUT`.

Which clip a voice is made from costs or saves some words. All candidates read validation sentences; those that are
misheard least read more of them. The exported checkpoint in OUT gets the winners as its voices.
"""

import argparse
import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from training.data.clips import voices_of
from training.evaluation.asr_wer import hear_all, word_error_rate
from training.evaluation.spoken import Spoken, Way
from training.export.export import prompts_of, write_voice
from training.flow_lm.flow_clips import for_validation, read_clips, read_sentences

ROUNDS = ((6, 16), (2, 48))  # candidates, and the sentences that each of them reads
WORDS = range(5, 15)  # of a sentence that judges


def sentences_that_judge(sentences: Sequence[str]) -> list[str]:
    """No training has seen them, nor are they those that `training.evaluation.evaluate` judges by."""
    unseen = [text for number, text in enumerate(sentences) if for_validation(number) and len(text.split()) in WORDS]
    random.Random(0).shuffle(unseen)
    return unseen


class Contest:
    """Between the prompts of one voice."""

    def __init__(self, spoken: Spoken, folder: Path, sentences: Sequence[str]) -> None:
        self._spoken, self._folder, self._sentences = spoken, folder, sentences

    def winner(self, prompts: Sequence[Tensor]) -> Tensor:
        for most, count in ROUNDS:
            texts = self._sentences[:count]
            rates = [self._word_errors(prompt, texts) for prompt in prompts[:most]]
            print(" ".join(f"{rate:.3f}" for rate in rates), flush=True)
            prompts = [prompts[place] for place in sorted(range(len(rates)), key=rates.__getitem__)]
        return prompts[0]

    def write(self, prompt: Tensor, path: Path) -> None:
        model = self._spoken.model._model
        with torch.inference_mode():
            write_voice(model, model.flow_lm.embed_voice(prompt), path)

    def _word_errors(self, prompt: Tensor, texts: Sequence[str]) -> float:
        path = self._folder / "candidate.safetensors"
        self.write(prompt, path)
        state = self._spoken.model.get_state_for_audio_prompt(path)
        sounds = self._spoken.say_all(texts, [state] * len(texts))
        return word_error_rate(texts, hear_all(sounds, self._spoken.rate_hz, processes=1))


def choose(work: Path, out: Path) -> None:
    spoken = Spoken(out / "config.yaml", Way("prompts"))
    sentences = read_sentences(work)
    with TemporaryDirectory() as folder:
        contest = Contest(spoken, Path(folder), sentences_that_judge(sentences))
        for voice in voices_of(work / "speech"):
            print(voice, flush=True)
            candidates = islice(prompts_of(read_clips(work, voice, 0, sentences)), ROUNDS[0][0])
            contest.write(contest.winner(list(candidates)), out / "voices" / f"{voice}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    choose(args.work, args.out)


if __name__ == "__main__":
    main()
