"""Model configuration, read from YAML in the published Pocket TTS format.

Parsing is strict: an unknown or missing key is a `ConfigError` that names it, so a typo cannot silently change the
model.
"""

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sayline_tts.engine.errors import ConfigError


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FlowConfig(StrictModel):
    """The flow head, which turns noise into one latent."""

    dim: int
    depth: int
    type: Literal["lsd", "flow_matching", "drifting", "pointwise"] = "lsd"


class FlowLMTransformerConfig(StrictModel):
    hidden_scale: int
    max_period: float
    d_model: int
    num_heads: int
    num_layers: int
    attn_dim: int | None = None
    num_kv_heads: int | None = None
    dim_feedforward: int | None = None

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
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


class LookupTableConfig(StrictModel):
    """Text embedding table; `rank` factors it into two low-rank matrices."""

    dim: int
    n_bins: int
    tokenizer: str
    tokenizer_path: str
    rank: int | None = None


class FlowLMConfig(StrictModel):
    dtype: str
    flow: FlowConfig
    transformer: FlowLMTransformerConfig
    lookup_table: LookupTableConfig
    z_dim: int | None = None
    insert_bos_before_voice: bool = False

    @property
    def output_dim(self) -> int:
        """Width of the input of the flow head and of the end-of-speech head."""
        return self.z_dim or self.transformer.d_model


class SEANetConfig(StrictModel):
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


class MimiTransformerConfig(StrictModel):
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
    def _heads_divide_width(self) -> Self:
        _check_heads(self.d_model, self.num_heads, self.num_heads)
        return self

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads


class QuantizerConfig(StrictModel):
    dimension: int
    output_dimension: int


class MimiConfig(StrictModel):
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
        """Width of the latents that the encoder makes from a voice recording."""
        return self.inner_dim or self.seanet.dimension

    @property
    def decoder_conv(self) -> SEANetConfig:
        return self.decoder_seanet or self.seanet

    @property
    def decoder_attention(self) -> MimiTransformerConfig:
        return self.decoder_transformer or self.transformer


class Config(StrictModel):
    """One model: its dimensions, the sources of its files, and its text rules."""

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
    """Read a model's YAML file. Raises `ConfigError` naming every missing, unknown or mistyped key."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file; check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error}); fix the file") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a config must be a YAML mapping, but this is {type(data).__name__}")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: not a Pocket TTS config: {faults}") from None


def _check_heads(attention_dim: int, heads: int, kv_heads: int) -> None:
    if heads < 1 or kv_heads < 1 or attention_dim % heads or heads % kv_heads or attention_dim // heads % 2:
        raise ValueError(
            f"an attention width of {attention_dim} does not fit {heads} heads over {kv_heads} key/value heads"
        )
