"""Settings of the server, read from flags and `SAYLINE_*` environment variables."""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.segment import MAX_LOOKAHEAD_WORDS
from sayline_tts.server import settings_file
from sayline_tts.server.access import origin


class SettingsError(InputError):
    code = "bad_setting"


def _split(value: Any) -> Any:
    """Split a list: comma-separated, JSON, or a flag given several times."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else [value]
    return [part.strip() for each in value for part in str(each).split(",") if part.strip()]


def _origin(value: str) -> str:
    return value if value == origin.ANY else origin.normalize_origin(value)


def _host_name(value: str) -> str:
    if not value or set(value) & set("/:@*"):
        raise ValueError(f"{value} is not a host name; leave out https:// and the port")
    return value.lower()


def _alias(value: str) -> tuple[str, str]:
    name, mark, voice = value.partition("=")
    if not name.strip() or not mark:
        raise ValueError(f"{value} is not an alias; write the other name, =, and a voice of this server")
    return name.strip(), voice.strip()


def _engine(value: str) -> tuple[str, int]:
    if value.startswith("ray://"):  # its registry knows where they are
        return value, 0
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{value} is not an engine; write its host, a colon and its port, such as 10.0.0.21:8200")
    return host.strip("[]"), int(port)


Item = TypeVar("Item")
_Listed = Annotated[tuple[Item, ...], NoDecode, BeforeValidator(_split)]
_Engine = Annotated[tuple[str, int], BeforeValidator(_engine)]
_Origin = Annotated[str, AfterValidator(_origin)]
_HostName = Annotated[str, AfterValidator(_host_name)]
_Alias = Annotated[tuple[str, str], BeforeValidator(_alias)]
_ProtocolName = Literal[
    "cartesia",
    "deepgram",
    "elevenlabs",
    "gradium",
    "jambonz",
    "kokoro",
    "kyutai",
    "livekit",
    "openai-realtime",
    "vapi",
    "wyoming",
]
PROTOCOLS: tuple[_ProtocolName, ...] = get_args(_ProtocolName)  # besides the native one and OpenAI's


class Settings(BaseSettings):
    """Field `x` is the flag `--x` and the variable `SAYLINE_X`; the flag wins."""

    model_config = SettingsConfigDict(env_prefix="SAYLINE_", frozen=True, extra="forbid", populate_by_name=True)

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("SAYLINE_PORT", "PORT"),  # PORT: set by hosting platforms
        description="port to listen on; 0 picks a free one",
    )
    variant: str = Field(default="auto", description="name of a published model, `embedded`, or `auto`")
    config: str | None = Field(default=None, description="path or URL of a custom model's YAML file")
    device: str = Field(default="cpu", description="cpu or cuda")
    precision: str = Field(
        default="auto", description="float32, bfloat16, int8, or auto: the fastest on this machine without audible loss"
    )
    calibrate: bool = Field(
        default=True,
        description="find the alignment heads of a model without known ones, for word times, in the background of its "
        "first start; for some seconds that takes memory for the weights in float32",
    )
    threads: int = Field(default=1, ge=1, description="threads for one forward pass of a network")
    slots: int = Field(default=256, ge=1, le=4096, description="contexts that can be in memory at once")
    capacity: int = Field(default=0, ge=0, description="contexts that may speak at once; 0: as measured at startup")
    max_waiting: int = Field(default=64, ge=0, description="contexts that may wait for capacity; more are rejected")
    max_contexts: int = Field(default=16, ge=1, description="open contexts per session")
    lead_ms: float = Field(
        default=1_000, ge=80, description="audio sent ahead of playback, unless the client sets `max_lead_ms`"
    )
    max_lead_ms: float = Field(default=60_000, ge=80, description="longest lead a client may set")
    max_text_chars: int = Field(default=100_000, ge=100, description="characters that may be pending in one context")
    pause_ms: float = Field(
        default=800, ge=0, description="speak an unfinished sentence when no text arrives for this long"
    )
    max_delay_ms: float = Field(
        default=3_000,
        ge=0,
        description="longest wait from the first word of a sentence until it is spoken, finished or not",
    )
    lookahead_words: int = Field(
        default=0,
        ge=0,
        le=MAX_LOOKAHEAD_WORDS,
        description="speak a sentence while its text arrives, with at least this many words ahead of the voice; 0: "
        "wait for a whole clause",
    )
    guard: bool = Field(
        default=False,
        description="hold frames back for a moment and make them again if they show a fault of speech: words left out "
        "or said twice",
    )
    heartbeat_s: float = Field(default=20, gt=0, description="interval of WebSocket pings to clients")
    api_key: SecretStr | None = Field(default=None, description="API key that clients must send")
    insecure: int = Field(
        default=0, ge=0, description="given twice: allow clients on other machines without an API key"
    )
    # Sessions and resumption
    max_sessions: int = Field(
        default=1_000, ge=1, description="open sessions, including disconnected ones that may be resumed"
    )
    max_sessions_per_address: int = Field(
        default=0,
        ge=0,
        description="connected sessions per client address other than this machine's; 0: half of --max-sessions",
    )
    messages_per_second: float = Field(
        default=500, ge=1, description="messages read of one connection, on average; faster ones are read later"
    )
    account_messages_per_second: float = Field(
        default=5_000,
        ge=1,
        description="messages read of all connections with one key, or of one address without a key",
    )
    max_connections_per_address: int = Field(
        default=0,
        ge=0,
        description="open connections per address, except of trusted proxies; 0: half of all that the server can have",
    )
    resume_s: float = Field(
        default=30, ge=0, description="how long a session can be resumed after its connection is lost; 0: not at all"
    )
    resume_mb: float = Field(default=1, ge=0, description="sent audio kept per session for resumption")
    slow_consumer_s: float = Field(default=20, gt=0, description="close a client that reads nothing for this long")
    context_idle_s: float = Field(
        default=120, gt=0, description="end a context without text to speak or messages for this long"
    )
    session_idle_s: float = Field(
        default=1_800, gt=0, description="close a session without contexts or messages for this long"
    )
    # Shutdown and watchdog
    drain_s: float = Field(default=20, ge=0, description="time that open contexts get to finish when the server stops")
    watchdog_s: float = Field(
        default=60, gt=0, description="exit with an error when a step or a frame takes longer than this"
    )
    # Logs
    log_format: Literal["pretty", "json"] = Field(default="pretty", description="format of log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level that is logged"
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="send an OpenTelemetry trace of each utterance to this OTLP/HTTP collector, for example "
        "http://localhost:4318; needs the extra `tracing`",
    )

    settings_file: str | None = Field(
        default=None,
        description="file of SAYLINE_ variables, one on a line, which flags and the environment override",
    )

    # Keys and exposure
    keys_file: str | None = Field(
        default=None, description="file of API keys, written by `sayline keys`; by default keys.json in the data folder"
    )
    anonymous_contexts: int = Field(
        default=0, ge=0, description="open contexts per address without a key, and for --api-key; 0: no limit"
    )
    anonymous_chars_per_minute: int = Field(
        default=0, ge=0, description="characters per minute per address without a key, and for --api-key; 0: no limit"
    )
    origins: _Listed[_Origin] = Field(
        default=(), description="sites whose pages may use this server, such as https://example.org; `*`: all"
    )
    host_names: _Listed[_HostName] = Field(
        default=(), description="host names that clients reach this server by, besides its address and localhost"
    )
    trusted_proxies: _Listed[IPvAnyNetwork] = Field(
        default=(), description="addresses or networks of proxies whose X-Forwarded-For, -Proto and -Host are trusted"
    )
    tls_cert: str | None = Field(default=None, description="PEM file with the certificate, then its chain")
    tls_key: str | None = Field(default=None, description="PEM file with the certificate's private key, unencrypted")

    # Cloned voices
    data: str = Field(
        default="~/.local/share/sayline",
        min_length=1,
        description="folder for cloned voices, lexicons, API keys and usage",
    )
    max_upload_mb: float = Field(default=32, gt=0, le=1_024, description="largest voice upload")
    max_stored_voices: int = Field(
        default=100,
        ge=0,
        description="voices kept per key without a limit of its own, and for all clients without a key",
    )
    max_lexicon_entries: int = Field(
        default=20_000,
        ge=0,
        description="entries kept in all lexicons of a key together, and in those of all clients without a key",
    )
    voice_urls: bool | None = Field(
        default=None,
        description="download voices from https:// URLs; by default only if no other machine can reach the server",
    )

    loudness_lufs: float | None = Field(
        default=None,
        ge=-40,
        le=-10,
        description="loudness (EBU R 128) that the speech of every voice gets, such as -16; by default the voice's own",
    )
    cache_mb: float = Field(
        default=64, ge=0, description="memory for speech that is kept because it is asked for again; 0: none"
    )

    # Other protocols
    protocols: _Listed[_ProtocolName] = Field(
        default=PROTOCOLS, description="protocols of other vendors that clients may use: docs/clients.md"
    )
    agent_port: int = Field(
        default=0, ge=0, le=65535, description="port that tells HAProxy's agent checks the free capacity; 0: none"
    )
    engines: _Listed[_Engine] = Field(
        default=(),
        description="speak on these engines (`sayline engine`) instead of in this process: HOST:PORT each; a name may "
        "have several addresses; ray:// or ray://HOST:PORT: those of a Ray cluster (`sayline cluster`)",
    )
    engine_port: int = Field(default=8200, ge=0, le=65535, description="port on which `sayline engine` serves fronts")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="port on which `sayline engine` serves /metrics, /healthz and /readyz over HTTP, without a key; "
        "0 picks a free one",
    )
    engine_secret: SecretStr | None = Field(default=None, description="what fronts and engines must share")
    engine_ca: str | None = Field(
        default=None,
        description="PEM file of the authority that the certificates (--tls-cert) of --engines are checked with; "
        "without it, connections to engines are not encrypted",
    )
    engine_silence_ms: float = Field(
        default=200, gt=0, description="an engine that owes audio and says nothing for this long is left for another"
    )
    wyoming_port: int = Field(
        default=0, ge=0, le=65535, description="port for Home Assistant's protocol Wyoming, usually 10200; 0: none"
    )
    wyoming_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="address of that port. It asks for no key: open it to a trusted network only",
    )
    voice_aliases: _Listed[_Alias] = Field(
        default=(),
        description="voices that speak for the names and ids of other vendors, such as Rachel=alba; `*` stands for all "
        "others, for which the default voice speaks, and `*=` refuses them",
    )

    # Speech over HTTP
    max_request_chars: int = Field(default=20_000, ge=1, description="characters of text per HTTP request")
    http_stall_s: float = Field(
        default=60, gt=0, description="disconnect a client that reads nothing of an HTTP body for this long"
    )

    _flags: dict[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("api_key")
    @classmethod
    def _empty_key_is_none(cls, key: SecretStr | None) -> SecretStr | None:
        return key if key is not None and key.get_secret_value() else None

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Settings from flags and the environment; a flag that is None was not given. Raises `SettingsError`."""
        flags = {name: value for name, value in flags.items() if value is not None}
        try:
            settings = cls(**{**settings_file.read(flags.get("settings_file")), **flags})
            settings._flags = flags
            return settings
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise SettingsError(f"invalid settings: {'; '.join(faults)}") from None

    def read_again(self) -> Self:
        """The settings that a start with the same flags would have now. Raises `SettingsError`."""
        return self.load(**self._flags)

    @property
    def on_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach the server, directly or through a proxy."""
        return not self.on_loopback or bool(self.trusted_proxies)

    @property
    def data_path(self) -> Path:
        return Path(self.data).expanduser()

    @property
    def keys_path(self) -> Path:
        return Path(self.keys_file or f"{self.data}/keys.json").expanduser()

    @property
    def voices_path(self) -> Path:
        return self.data_path / "voices"

    @property
    def lexicons_path(self) -> Path:
        return self.data_path / "lexicons"

    @property
    def calibrations_path(self) -> Path:
        return self.data_path / "calibrations"

    @property
    def usage_path(self) -> Path:
        return self.data_path / "usage.json"

    @property
    def max_upload_bytes(self) -> int:
        return round(self.max_upload_mb * 1024 * 1024)

    @property
    def fetches_voice_urls(self) -> bool:
        return not self.exposed if self.voice_urls is None else self.voice_urls

    def check_fleet(self) -> None:
        """Raise `SettingsError` for what a front without weights cannot do."""
        if self.engines and self.loudness_lufs is not None:
            raise SettingsError(
                "--loudness-lufs needs the weights, which a front with --engines does not have; leave one of them out"
            )

    def check_engine_exposure(self) -> None:
        """Raise `SettingsError` if other machines reach the engine without a secret, unless `--insecure` is twice."""
        if not self.on_loopback and not self.secret and self.insecure < 2:
            raise SettingsError(
                f"{self.host} is reachable from other machines and no secret is set; set SAYLINE_ENGINE_SECRET to a "
                "long random string, here and on the fronts, or give --insecure twice to allow everyone"
            )

    @property
    def secret(self) -> str:
        """What fronts and engines share; "" if nothing."""
        return self.engine_secret.get_secret_value() if self.engine_secret else ""

    def check_exposure(self) -> None:
        """Raise `SettingsError` if the server is exposed without a key, unless `--insecure` was given twice."""
        if not self.exposed or self.api_key is not None or self.insecure >= 2 or self.keys_path.exists():
            return
        through = " through a proxy" if self.on_loopback else ""
        raise SettingsError(
            f"{self.host} is reachable from other machines{through} and no API key is set; create one with "
            "`sayline keys add <name>`, or set SAYLINE_API_KEY to a long random string, or listen on 127.0.0.1 without "
            "a proxy, or give --insecure twice to allow everyone"
        )
