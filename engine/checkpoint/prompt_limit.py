"""How long a recording may be that a model clones a voice from: a file next to the weights, since it depends on them.

The published configuration has no key for it, and the reference rejects unknown keys.
"""

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from sayline_tts.engine.checkpoint.config import StrictModel
from sayline_tts.engine.errors import CheckpointError

CLONING_FILE = "cloning.yaml"


class _CloningFile(StrictModel):
    max_prompt_s: float = Field(ge=1, le=30)


def read_max_prompt_s(weights: Path) -> float | None:
    """The longest prompt in seconds, from the file next to the weights; None if there is no file.

    Raises `CheckpointError` if the file is malformed.
    """
    path = weights.with_name(CLONING_FILE)
    try:
        return _CloningFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).max_prompt_s
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: {error}; set max_prompt_s to seconds from 1 to 30, or remove it") from None
