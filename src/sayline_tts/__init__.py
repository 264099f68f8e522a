"""Sayline: a real-time streaming text-to-speech server and its Python API.

`TTSModel` loads a model and speaks; `export_model_state` writes a voice to a file. Both are imported on first use,
because they load torch.

In a checkout the subpackages are symbolic links to the top-level folders; a wheel contains copies.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sayline_tts.engine.tts_model import TTSModel, export_model_state

__all__ = ["TTSModel", "export_model_state"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sayline_tts.engine import tts_model

    return getattr(tts_model, name)
