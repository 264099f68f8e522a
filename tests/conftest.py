"""The embedded model, loaded once for all tests; and no test that goes by the clock."""

import signal

import pytest
import torch
from hypothesis import settings

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.models.model import Model

settings.register_profile("patient", deadline=None)  # a machine may be busy
settings.load_profile("patient")
# Where a shell runs this in the background Ctrl-C is ignored, and would be by the programs that are tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model() -> Model:
    torch.set_num_threads(1)  # threads of one step wait for each other: on a busy machine two are far slower
    return Model.load(find_checkpoint("embedded"), precision="float32")
