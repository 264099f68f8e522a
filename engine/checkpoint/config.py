"""The shape of a model, read from YAML in the published Pocket TTS format. Knows nothing of weights or tensors.

Strict: an unknown or missing key is a `ConfigError` that names it, so a typo never becomes a silently different model.
"""

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sayline_tts.engine.errors import ConfigError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FlowConfig(Strict):
    """The head that turns noise into one latent."""

    dim: int
    depth: int
    type: Literal["lsd", "flow_matching", "drifting", "pointwise"] = "lsd"


class FlowLMTransformerConfig(Strict):
    hidden_scale: int
    max_period: float
    d_model: int
    num_heads: int
    num_layers: int
    attn_dim: int | None = None
    num_kv_heads: int | None = None
    dim_feedforward: int | None = None

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        _check_heads(self.attention_dim, self.num_heads, self.kv_heads)
        return self

    @property
    def attention_dim(self) -> int:
        return self.attn_dim or self.d_model

    @property
    def kv_heads(self) -> int:
        return self.num_kv_heads or self.num_heads

    @property
    def head_dim(self) -> int:
        return self.attention_dim // self.num_heads

    @property
    def feedforward_dim(self) -> int:
        return self.dim_feedforward or self.d_model * self.hidden_scale


class LookupTableConfig(Strict):
    """Text embedding; `rank` makes the table low-rank."""

    dim: int
    n_bins: int
    tokenizer: str
    tokenizer_path: str
    rank: int | None = None


class FlowLMConfig(Strict):
    dtype: str
    flow: FlowConfig
    transformer: FlowLMTransformerConfig
    lookup_table: LookupTableConfig
    z_dim: int | None = None
    insert_bos_before_voice: bool = False

    @property
    def output_dim(self) -> int:
        """Width of what the flow head and the end-of-speech head read."""
        return self.z_dim or self.transformer.d_model


class SEANetConfig(Strict):
    dimension: int
    channels: Literal[1]
    n_filters: int
    n_residual_layers: int
    ratios: tuple[int, ...]
    kernel_size: int
    residual_kernel_size: int
    last_kernel_size: int
    dilation_base: int
    pad_mode: Literal["constant"]
    compress: int


class MimiTransformerConfig(Strict):
    d_model: int
    input_dimension: int
    output_dimensions: tuple[int]
    num_heads: int
    num_layers: int
    layer_scale: float
    context: int
    dim_feedforward: int
    max_period: float = 10000.0

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        _check_heads(self.d_model, self.num_heads, self.num_heads)
        return self

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads


class QuantizerConfig(Strict):
    dimension: int
    output_dimension: int


class MimiConfig(Strict):
    dtype: str
    sample_rate: int
    channels: Literal[1]
    frame_rate: float
    seanet: SEANetConfig
    transformer: MimiTransformerConfig
    quantizer: QuantizerConfig
    inner_dim: int | None = None
    outer_dim: int | None = None
    decoder_seanet: SEANetConfig | None = None
    decoder_transformer: MimiTransformerConfig | None = None

    @property
    def frame_samples(self) -> int:
        return int(self.sample_rate / self.frame_rate)

    @property
    def voice_dim(self) -> int:
        """Width of the latents that a voice recording is encoded to."""
        return self.inner_dim or self.seanet.dimension

    @property
    def decoder_conv(self) -> SEANetConfig:
        return self.decoder_seanet or self.seanet

    @property
    def decoder_attention(self) -> MimiTransformerConfig:
        return self.decoder_transformer or self.transformer


class Config(Strict):
    """One model: its shape, where its weights are, and how its text must be written."""

    flow_lm: FlowLMConfig
    mimi: MimiConfig
    weights_path: str | None = None
    weights_path_without_voice_cloning: str | None = None
    pad_with_spaces_for_short_inputs: bool = False
    remove_semicolons: bool = False
    append_terminal_punctuation: bool = True
    capitalize_first_letter: bool = True
    replace_characters: dict[str, str] = Field(default_factory=dict)
    model_recommended_frames_after_eos: int | None = None
    default_temperature: float = 0.3
    default_eos_threshold: float = -4.0


def load_config(path: Path) -> Config:
    """Read one model's YAML. Raises `ConfigError` naming every key that is missing, unknown or of the wrong type."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file; check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a config is a YAML mapping, this is {type(data).__name__}")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: not a Pocket TTS config: {faults}") from None


def _check_heads(attention_dim: int, heads: int, kv_heads: int) -> None:
    if heads < 1 or kv_heads < 1 or attention_dim % heads or heads % kv_heads or attention_dim // heads % 2:
        raise ValueError(f"{attention_dim} wide attention cannot have {heads} heads over {kv_heads} key/value heads")
