"""Layers of a converted checkpoint compute the same from new latents as before from old ones."""

import torch

from training.export.map_latents import LatentMaps, explained_variance, fit_map, map_weights


def test_linear_map_is_recovered() -> None:
    torch.manual_seed(0)
    source, matrix = torch.randn(2000, 4, dtype=torch.double), torch.randn(4, 4, dtype=torch.double)
    target = source @ matrix.T
    found = fit_map(source, target)
    assert torch.allclose(found, matrix, atol=0.02)
    assert explained_variance(source, target, found) > 0.999


def test_mapped_layers_compute_the_same_from_new_latents() -> None:
    torch.manual_seed(0)
    dim, width = 3, 5
    to_old = torch.linalg.qr(torch.randn(dim, dim)).Q
    old_deviation, deviation = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.7, 1.0, 1.3])
    weights = {
        "flow_lm.emb_mean": torch.zeros(dim),
        "flow_lm.emb_std": old_deviation,
        "flow_lm.bos_emb": torch.randn(dim),
        "flow_lm.input_linear.weight": torch.randn(width, dim),
        "flow_lm.speaker_proj_weight": torch.randn(width, dim),
        "flow_lm.flow_net.input_proj.weight": torch.randn(width, dim),
        "flow_lm.flow_net.final_layer.linear.weight": torch.randn(dim, width),
        "flow_lm.flow_net.final_layer.linear.bias": torch.randn(dim),
        "mimi.quantizer.output_proj.weight": torch.randn(width, dim, 1),
        "mimi.downsample.conv.conv.weight": torch.randn(dim, width, 2),
    }
    mapped = map_weights(weights, LatentMaps(to_old, to_old.T), torch.zeros(dim), deviation)
    new = torch.randn(7, dim)  # not normalized
    old = new @ to_old.T
    for name, normalized in (
        ("flow_lm.input_linear.weight", True),
        ("flow_lm.flow_net.input_proj.weight", True),
        ("flow_lm.speaker_proj_weight", False),
    ):
        before = (old / old_deviation if normalized else old) @ weights[name].T
        after = (new / deviation if normalized else new) @ mapped[name].T
        assert torch.allclose(before, after, atol=1e-5)
    assert torch.allclose(
        old @ weights["mimi.quantizer.output_proj.weight"][..., 0].T,
        new @ mapped["mimi.quantizer.output_proj.weight"][..., 0].T,
        atol=1e-5,
    )
    hidden = torch.randn(7, width)
    before = hidden @ weights["flow_lm.flow_net.final_layer.linear.weight"].T * old_deviation
    after = hidden @ mapped["flow_lm.flow_net.final_layer.linear.weight"].T * deviation
    assert torch.allclose(before @ to_old, after, atol=1e-5)  # `to_new` is `to_old` transposed
