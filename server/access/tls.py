"""The TLS context of the server. Faulty certificate files are reported at startup."""

import ssl
from pathlib import Path

from sayline_tts.server.settings import Settings, SettingsError


def make_context(settings: Settings) -> ssl.SSLContext | None:
    """The context for `--tls-cert` and `--tls-key`; None without them, for plain HTTP. Raises `SettingsError`."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise SettingsError("TLS needs a certificate and its key; give both --tls-cert and --tls-key, or neither")
    cert, key = Path(settings.tls_cert).expanduser(), Path(settings.tls_key).expanduser()
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
