"""Distil a FlowLM with classifier-free guidance into one that needs no guidance, and fewer layers.

    python -m training.flow_lm.distill --work DIR --teacher main --run student --layers 4

The teacher, a run of `training.flow_lm.train` with `--text-dropout` and `--voice-dropout`, computes each batch with its
conditions and without. The student's backbone must predict the guided output, `without + guidance * (with - without)`,
by least squares. Its flow head is the teacher's and stays as it is (arXiv:2509.06926). If interrupted, the same command
resumes. `training.export.export --run student` exports it.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sayline_tts.engine.checkpoint.config import FlowLMConfig
from training.data.clips import voices_of
from training.data.tokenizer import SubwordTokenizer
from training.flow_lm.auxiliary_heads import AuxiliaryHeads, AuxiliaryLossWeights
from training.flow_lm.batches import Batch
from training.flow_lm.network import FlowLMNetwork
from training.flow_lm.objective import (
    END_WEIGHT,
    NOTHING_DROPPED,
    BackboneInput,
    Dropout,
    end_loss,
    normalized_latents,
    run_backbone,
)
from training.flow_lm.optimizer import Optimizers
from training.flow_lm.train import LATENT_DIM, VALIDATION_STEPS, TrainingData, read_flow_lm_config, with_layers
from training.trainer.device import current_device, seeded_generator, use_device
from training.trainer.matmul_precision import fast_matmul
from training.trainer.training_run import TrainingRun
from training.trainer.weight_averaging import AveragedWeights

AUXILIARY = ("phones", "latents", "pronunciation", "alignment")
LAYERS = "transformer.layers."


def kept_layers(teacher_layers: int, layers: int) -> list[int]:
    """The teacher's layers that the student starts from: the first ones, which process text, and the last."""
    if not 2 <= layers <= teacher_layers:
        raise ValueError(f"a student of {layers} layers cannot be made of {teacher_layers}; give 2 to {teacher_layers}")
    return [*range(layers - 1), teacher_layers - 1]


def student_of(teacher: FlowLMNetwork, layers: int) -> FlowLMNetwork:
    """A network of fewer layers with the teacher's weights; those of the flow head get no gradient."""
    student = FlowLMNetwork(with_layers(teacher.shape, layers), LATENT_DIM, LATENT_DIM)
    weights = {name: tensor for name, tensor in teacher.state_dict().items() if not name.startswith(LAYERS)}
    for to, origin in enumerate(kept_layers(teacher.shape.transformer.num_layers, layers)):
        weights |= {
            f"{LAYERS}{to}.{name}": part for name, part in teacher.transformer.layers[origin].state_dict().items()
        }
    student.load_state_dict(weights)
    student.flow_net.requires_grad_(False)
    return student


@torch.no_grad()
def guided_output(teacher: FlowLMNetwork, batch: Batch, inputs: BackboneInput, guidance: float) -> Tensor:
    """The teacher's input of the flow head `[frames, width]`, with classifier-free guidance (1: without)."""
    _, conditional = run_backbone(teacher, batch, inputs, NOTHING_DROPPED)
    _, unconditional = run_backbone(teacher, batch, inputs, Dropout(text=True, voice=True))
    return torch.lerp(unconditional, conditional, guidance)


def distillation_loss(student: FlowLMNetwork, teacher: FlowLMNetwork, auxiliary: AuxiliaryHeads, batch: Batch,
                      guidance: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """The student's loss, and its components for logging."""
    inputs = BackboneInput.draw(teacher, batch, generator)
    target = guided_output(teacher, batch, inputs, guidance)
    output, z = run_backbone(student, batch, inputs, NOTHING_DROPPED)
    losses = auxiliary.losses(batch, output, z, normalized_latents(student, batch))
    losses |= {"output": F.mse_loss(z.float(), target.float()), "end": end_loss(student, batch, z)}
    loss = losses["output"] + END_WEIGHT * losses["end"]
    for name in AUXILIARY:
        loss = loss + getattr(AuxiliaryLossWeights(), name) * losses[name]
    return loss, {name: float(value.detach()) for name, value in losses.items()}


def load_teacher(work: Path, run: str, shape: FlowLMConfig) -> FlowLMNetwork:
    """The averaged weights of a training run."""
    path = work / "flow" / run / "checkpoint.pt"
    state = torch.load(path, weights_only=True, map_location=current_device())["average"]
    teacher = FlowLMNetwork(shape, LATENT_DIM, LATENT_DIM)
    teacher.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state.items()})
    return teacher.requires_grad_(False)


def distill(args: argparse.Namespace) -> None:
    tokenizer = SubwordTokenizer(args.work / "flow/tokenizer.model")
    data = TrainingData.read(args.work, voices_of(args.work / "speech"), tokenizer, args.positions)
    teacher = load_teacher(args.work, args.teacher, read_flow_lm_config(tokenizer.vocabulary_size))
    student = student_of(teacher, args.layers)
    auxiliary = AuxiliaryHeads(student.shape.transformer.d_model, LATENT_DIM, data.phones)
    optimizers = Optimizers(student, auxiliary, args.rate, muon=False)
    average = AveragedWeights(student, FlowLMNetwork(student.shape, LATENT_DIM, LATENT_DIM))
    run = TrainingRun(
        args.work / "flow" / args.run,
        {"network": student, "auxiliary_heads": auxiliary, "optimizers": optimizers, "average": average},
    )
    while run.step < args.steps:
        with fast_matmul():
            loss, losses = distillation_loss(
                student, teacher, auxiliary, data.draw(run.step), args.guidance, seeded_generator(run.step)
            )
        loss.backward()
        optimizers.step(run.step, args.steps)
        average.update(student, run.step)
        run.log_step(losses)
        if run.step % VALIDATION_STEPS == 0:
            with torch.no_grad(), fast_matmul():
                unseen = [
                    distillation_loss(
                        average.network, teacher, auxiliary, batch, args.guidance, seeded_generator(seed)
                    )[1]
                    for seed, batch in enumerate(data.validation)
                ]
            run.report("validation", {name: sum(each[name] for each in unseen) / len(unseen) for name in unseen[0]})
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description="Distil a FlowLM with guidance into one without.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--teacher", default="main", help="name of the run to distil")
    parser.add_argument("--run", default="student", help="name of this run; its files are in DIR/flow/NAME")
    parser.add_argument("--layers", type=int, default=4, help="layers of the student; 4 are needed for word timestamps")
    parser.add_argument("--guidance", type=float, default=1.5, help="coefficient; 1: no guidance")
    parser.add_argument("--steps", type=int, default=6000, help="total; the learning rate decays over the last part")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--positions", type=int, default=1000, help="positions of all rows in a batch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()
    use_device(args.device, args.threads)
    distill(args)


if __name__ == "__main__":
    main()
