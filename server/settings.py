"""Every setting of the server, from flags and from `SAYLINE_*`. Knows nothing of what is done with them."""

import ipaddress
from typing import Any, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.errors import InputError


class SettingsError(InputError):
    code = "bad_setting"


class Settings(BaseSettings):
    """A field `x` is the flag `--x` and the variable `SAYLINE_X`; the flag wins."""

    model_config = SettingsConfigDict(env_prefix="SAYLINE_", frozen=True, extra="forbid", populate_by_name=True)

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("SAYLINE_PORT", "PORT"),  # PORT: how hosting platforms say it
        description="port to listen on; 0 takes a free one",
    )
    variant: str = Field(default="auto", description="published model, embedded, or auto")
    config: str | None = Field(default=None, description="YAML file of a model of your own, path or URL")
    device: str = Field(default="cpu", description="cpu or cuda")
    precision: str = Field(
        default="auto", description="float32, bfloat16, int8, or auto: what the processor is built for"
    )
    threads: int = Field(default=1, ge=1, description="threads for one pass of a network")
    slots: int = Field(default=256, ge=1, le=4096, description="contexts that have a place in memory")
    capacity: int = Field(default=0, ge=0, description="contexts that may speak at once; 0: as measured here")
    max_waiting: int = Field(default=64, ge=0, description="contexts that may wait until one of them is silent")
    max_contexts: int = Field(default=16, ge=1, description="open contexts in one session")
    lead_ms: float = Field(
        default=1_000, ge=80, description="audio sent ahead of what was heard, where a client does not ask for another"
    )
    max_lead_ms: float = Field(default=60_000, ge=80, description="the longest lead that a client may ask for")
    max_text_chars: int = Field(default=100_000, ge=100, description="characters that may wait in one context")
    pause_ms: float = Field(default=800, ge=0, description="half a sentence is spoken when its writer pauses so long")
    max_delay_ms: float = Field(
        default=3_000, ge=0, description="half a sentence is spoken so long after its first word at the latest"
    )
    heartbeat_s: float = Field(default=20, gt=0, description="a peer is asked for a sign of life so often")
    api_key: SecretStr | None = Field(default=None, description="what clients must know")
    insecure: int = Field(default=0, ge=0, description="twice: listen beyond this machine without an API key")

    @field_validator("api_key")
    @classmethod
    def _no_empty_key(cls, key: SecretStr | None) -> SecretStr | None:
        return key if key is not None and key.get_secret_value() else None

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Flags that are None were not given. Raises `SettingsError`."""
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise SettingsError(f"settings that cannot be used: {'; '.join(faults)}") from None

    @property
    def on_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def check_exposure(self) -> None:
        """Raises `SettingsError` where anybody on the network could use the server, and nobody said so twice."""
        if self.on_loopback or self.api_key is not None or self.insecure >= 2:
            return
        raise SettingsError(
            f"{self.host} can be reached from other machines, and there is no API key: set SAYLINE_API_KEY to a long "
            "random word, or listen on 127.0.0.1, or say --insecure twice to let everybody in"
        )
