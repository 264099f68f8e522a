"""Stage 5b: select the best prompt for each voice among several clips.

    python -m training.flow_lm.select_prompts --work DIR --out OUT

The choice of the clip affects intelligibility. All candidates read validation sentences; those with the fewest word
errors then read more of them. The selected prompts become the voices of the exported checkpoint in OUT.
"""

import argparse
import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from training.data.clips import is_validation, voices_of
from training.evaluation.recognition import Recognizer, find_recognizer, word_error_rate
from training.evaluation.synthesis import CheckpointSynthesizer, SynthesisMode
from training.export.export import prompt_candidates, write_voice
from training.flow_lm.examples import read_examples, read_sentences

ROUNDS = ((6, 16), (2, 48))  # number of candidates, and of sentences that each of them reads
WORDS = range(5, 15)  # in a sentence


def selection_sentences(sentences: Sequence[str]) -> list[str]:
    """Validation sentences: unseen in training, and different from those of `training.evaluation.evaluate`."""
    unseen = [text for number, text in enumerate(sentences) if is_validation(number) and len(text.split()) in WORDS]
    random.Random(0).shuffle(unseen)
    return unseen


class PromptSelector:
    """Selects among the prompts of one voice by word error rate."""

    def __init__(
        self, synthesizer: CheckpointSynthesizer, recognizer: Recognizer, folder: Path, sentences: Sequence[str]
    ) -> None:
        self._synthesizer, self._recognizer = synthesizer, recognizer
        self._folder, self._sentences = folder, sentences

    def select(self, prompts: Sequence[Tensor]) -> Tensor:
        for candidates, sentences in ROUNDS:
            texts = self._sentences[:sentences]
            rates = [self._word_error_rate(prompt, texts) for prompt in prompts[:candidates]]
            print(" ".join(f"{rate:.3f}" for rate in rates), flush=True)
            prompts = [prompts[index] for index in sorted(range(len(rates)), key=rates.__getitem__)]
        return prompts[0]

    def write(self, prompt: Tensor, path: Path) -> None:
        model = self._synthesizer.model._model
        with torch.inference_mode():
            write_voice(model, model.flow_lm.embed_voice(prompt), path)

    def _word_error_rate(self, prompt: Tensor, texts: Sequence[str]) -> float:
        path = self._folder / "candidate.safetensors"
        self.write(prompt, path)
        state = self._synthesizer.model.get_state_for_audio_prompt(path)
        audio = self._synthesizer.synthesize_all(texts, [state] * len(texts))
        return word_error_rate(self._recognizer, texts, audio, self._synthesizer.rate_hz)


def select_prompts(work: Path, out: Path) -> None:
    synthesizer = CheckpointSynthesizer(out / "config.yaml", SynthesisMode("prompts"))
    sentences = read_sentences(work)
    with TemporaryDirectory() as folder:
        selector = PromptSelector(synthesizer, find_recognizer(), Path(folder), selection_sentences(sentences))
        for voice in voices_of(work / "speech"):
            print(voice, flush=True)
            candidates = islice(prompt_candidates(read_examples(work, voice, 0, sentences)), ROUNDS[0][0])
            selector.write(selector.select(list(candidates)), out / "voices" / f"{voice}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description="Select the best prompt for each voice.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    select_prompts(args.work, args.out)


if __name__ == "__main__":
    main()
