"""The TLS context of the server. Faulty certificate files are reported at startup; new ones are used at once."""

import logging
import ssl
from pathlib import Path

from sayline_tts.server.settings import Settings, SettingsError

log = logging.getLogger(__name__)


def make_context(settings: Settings) -> ssl.SSLContext | None:
    """The context for `--tls-cert` and `--tls-key`; None without them, for plain HTTP. Raises `SettingsError`.

    Each new connection gets the files as they are then.
    """
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise SettingsError("TLS needs a certificate and its key; give both --tls-cert and --tls-key, or neither")
    cert, key = Path(settings.tls_cert).expanduser(), Path(settings.tls_key).expanduser()
    context = _load(cert, key)
    context.sni_callback = _Renewal(cert, key).on_client_hello
    return context


def make_client_context(authority: str) -> ssl.SSLContext:
    """The context for connections to engines, whose certificates this authority has signed. Raises `SettingsError`."""
    path = Path(authority).expanduser()
    _check_pem("--engine-ca", path, "CERTIFICATE")
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise SettingsError(f"cannot use --engine-ca {path} ({error.reason}); create it again") from None


class _Renewal:
    """Loads certificate and key again when their files have changed.

    The two files are replaced one after the other, so a pair that does not match is no reason to refuse connections:
    the last good pair stays until the files change again.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._version = self._read_version()
        self._renewed: ssl.SSLContext | None = None

    def on_client_hello(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called for each handshake, whether or not the client names a server."""
        if (version := self._read_version()) != self._version:
            self._version = version
            try:
                self._renewed = _load(self._cert, self._key)
                log.info("the TLS certificate was loaded again")
            except SettingsError as error:
                log.error("the TLS certificate has changed and the old one stays in use: %s", error)
        if self._renewed is not None:
            connection.context = self._renewed

    def _read_version(self) -> list[tuple[int, ...] | None]:
        return [_version(path) for path in (self._cert, self._key)]


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _load(cert: Path, key: Path) -> ssl.SSLContext:
    for flag, path, kind in (("--tls-cert", cert, "CERTIFICATE"), ("--tls-key", key, "PRIVATE KEY")):
        _check_pem(flag, path, kind)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"--tls-key {key} does not match --tls-cert {cert}; give its key") from None
        raise SettingsError(f"cannot use {cert} and {key} for TLS ({error.reason}); create them again") from None
    return context


def _check_pem(flag: str, path: Path, kind: str) -> None:
    try:
        text = path.read_text("ascii", errors="replace")
    except OSError as error:
        raise SettingsError(f"cannot read {flag} {path} ({error.strerror}); check its path and permissions") from None
    if f"{kind}-----" not in text:
        raise SettingsError(f"{flag} {path} has no PEM {kind.lower()}; give a file with -----BEGIN ... {kind}-----")


def _no_password() -> str:
    """Refuse encrypted keys: OpenSSL would prompt on the terminal, and an unattended start would hang."""
    raise SettingsError("--tls-key is encrypted; decrypt it: openssl pkey -in KEY -out DECRYPTED_KEY")
