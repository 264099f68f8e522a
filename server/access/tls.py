"""The certificate that the server shows. Whatever is wrong with it is said at the start, in words."""

import ssl
from pathlib import Path

from sayline_tts.server.settings import Settings, SettingsError


def make_context(settings: Settings) -> ssl.SSLContext | None:
    """None: the server speaks plain HTTP. Raises `SettingsError`."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise SettingsError("TLS takes a certificate and its key: give both --tls-cert and --tls-key, or neither")
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
            raise SettingsError(f"--tls-key {key} is not the key of the certificate in {cert}") from None
        raise SettingsError(f"{cert} and {key} cannot be used for TLS ({error.reason}); make them anew") from None
    return context


def _check_pem(flag: str, path: Path, kind: str) -> None:
    try:
        text = path.read_text("ascii", errors="replace")
    except OSError as error:
        raise SettingsError(f"{flag} {path} cannot be read ({error.strerror})") from None
    if f"{kind}-----" not in text:
        raise SettingsError(f"{flag} {path} holds no {kind.lower()} in PEM (-----BEGIN ... {kind}-----)")


def _no_password() -> str:
    """Otherwise OpenSSL would ask at the terminal, and a server that starts by itself would wait for ever."""
    raise SettingsError("the key of --tls-key has a password; take it off: openssl pkey -in KEY -out KEY_WITHOUT")
