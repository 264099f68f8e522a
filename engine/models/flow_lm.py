"""FlowLM: a causal transformer over voice, text and latents that predicts the next latent and the end of speech.

Latents are continuous, 12.5 per second (arXiv:2509.06926). The sequence of a segment is the voice prompt, the text,
then the latents; each latent depends on everything before it.
"""

import torch
from torch import Tensor, nn

from sayline_tts.engine.cache.kv_cache import CacheShape
from sayline_tts.engine.checkpoint.config import Config
from sayline_tts.engine.kernels.ops import LAYER_NORM_EPS
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.flow_head import FlowHead
from sayline_tts.engine.models.layers import LayerNorm, Linear, Packable, SupportsAttention, Transformer


class TextEmbedding(Packable):
    """Embed token ids; a low-rank table has a projection behind it."""

    def __init__(self, tokens: int, dim: int, rank: int | None) -> None:
        super().__init__()
        # One more than the vocabulary: the padding id of training. Random init would import half of torch, 1.4 s.
        table = torch.empty(tokens + 1, rank or dim)
        self.embed = nn.Embedding(tokens + 1, rank or dim, _weight=table)
        self.proj = nn.Identity() if rank is None else Linear(rank, dim, bias=False)

    def pack(self, precision: Precision) -> None:
        self.embed.to(precision.dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.proj(self.embed(tokens))
        return out


class FlowLM(Packable):
    """The transformer backbone with its embeddings, the flow head and the end-of-speech classifier."""

    def __init__(self, config_: Config) -> None:
        super().__init__()
        self.config = config = config_.flow_lm
        self.dtype = self.cache_dtype = torch.float32
        latent_dim = config_.mimi.quantizer.dimension
        shape = config.transformer
        width = shape.d_model
        self.conditioner = TextEmbedding(config.lookup_table.n_bins, width, config.lookup_table.rank)
        self.register_buffer("emb_mean", torch.zeros(latent_dim))
        self.register_buffer("emb_std", torch.ones(latent_dim))
        self.emb_mean: Tensor
        self.emb_std: Tensor
        self.bos_emb = nn.Parameter(torch.zeros(latent_dim))
        if config.insert_bos_before_voice:
            self.bos_before_voice = nn.Parameter(torch.zeros(1, 1, width))
        self.speaker_proj_weight = nn.Parameter(torch.zeros(width, config_.mimi.voice_dim))
        self.input_linear = Linear(latent_dim, width, bias=False)
        self.transformer = Transformer(
            shape.num_layers, width, shape.attention_dim, shape.num_heads, shape.kv_heads, shape.feedforward_dim
        )
        self.out_norm = LayerNorm(width, eps=LAYER_NORM_EPS)
        self.z_proj = nn.Identity() if config.z_dim is None else Linear(width, config.z_dim, bias=False)
        self.flow_net = FlowHead(config.flow, latent_dim, config.output_dim)
        self.out_eos = nn.Linear(config.output_dim, 1)  # a threshold decides on it, so it stays in float32

    def pack(self, precision: Precision) -> None:
        self.dtype, self.cache_dtype = precision.dtype, precision.cache_dtype

    @property
    def cache_shape(self) -> CacheShape:
        """Shape of the KV cache."""
        shape, device = self.config.transformer, self.bos_emb.device
        return CacheShape(shape.num_layers, shape.kv_heads, shape.head_dim, shape.max_period, self.cache_dtype, device)

    def embed_voice(self, voice: Tensor) -> Tensor:
        """Project latents of a voice prompt `[frames, voice_dim]` to embeddings `[positions, width]`."""
        prompt = voice @ self.speaker_proj_weight.T
        if self.config.insert_bos_before_voice:
            prompt = torch.cat([self.bos_before_voice[0], prompt])
        return prompt.to(self.dtype)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Embed a segment's tokens `[tokens]` and the begin-of-speech marker: `[tokens + 1, width]`."""
        return torch.cat([self.conditioner(tokens), self.embed_latents(self.bos_emb[None])])

    def embed_latents(self, latents: Tensor) -> Tensor:
        """Project latents `[..., latent_dim]` to embeddings `[..., width]`."""
        out: Tensor = self.input_linear(latents.to(self.dtype))
        return out

    def forward(self, x: Tensor, metadata: SupportsAttention) -> Tensor:
        """Run embeddings `[..., width]` through the transformer."""
        out: Tensor = self.transformer(x, metadata)
        return out

    def project_output(self, x: Tensor) -> Tensor:
        """Project transformer outputs `[rows, width]` to the input of the heads, `[rows, output_dim]`, float32."""
        out: Tensor = self.z_proj(self.out_norm(x))
        return out.float()

    def eos_logits(self, z: Tensor) -> Tensor:
        """Logits of the end of speech, `[rows]`."""
        logits: Tensor = self.out_eos(z)[:, 0]
        return logits

    def sample(self, z: Tensor, noise: Tensor, decode_steps: int) -> Tensor:
        """Sample the next latents, `[rows, latent_dim]`, on FlowLM's scale."""
        return self.flow_net.sample(z, noise, decode_steps)

    def denormalize(self, latents: Tensor) -> Tensor:
        """Convert latents from FlowLM's scale to the codec's."""
        return latents * self.emb_std + self.emb_mean
