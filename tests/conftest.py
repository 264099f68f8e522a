"""The embedded model, loaded once for all tests."""

import pytest
import torch

from engine.model import Model
from engine.weights import find_checkpoint


@pytest.fixture(scope="session")
def model() -> Model:
    torch.set_num_threads(1)  # threads of one step wait for each other: on a busy machine two are far slower
    return Model.load(find_checkpoint("embedded"), precision="float32")
