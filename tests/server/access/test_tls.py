"""TLS on a real socket, and errors for unusable files."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from sayline_tts.server.access.tls import make_context
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings, SettingsError
from tests.server.fakes import FakeEngine
from tests.server.stream_client import StreamClient, accepting

CA = trustme.CA()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    certificate = CA.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return Settings.load(tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem"))


@pytest.fixture
async def secure(settings: Settings, engine: FakeEngine) -> AsyncIterator[str]:
    app = await make_app(settings, engine.model, engine)
    async with accepting(app, ssl_context=make_context(settings)) as server:
        yield server.address


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


async def test_session_over_tls(secure: str) -> None:
    subprotocols = [Subprotocol("sayline.v1.json")]
    origin = f"https://{secure}"
    async with connect(
        f"wss://{secure}/v1/stream", subprotocols=subprotocols, ssl=trusting(), additional_headers={"Origin": origin}
    ) as socket:
        one = StreamClient(socket)
        await one.speak("Hello there.")
        await one.receive_until_final()
    assert one.received[-1]["type"] == "done"


def issue(settings: Settings, *names: str, cert: bool = True, key: bool = True) -> None:
    """Replace the server's files."""
    issued = CA.issue_cert(*names)
    if cert:
        issued.cert_chain_pems[0].write_to_path(settings.tls_cert or "")
    if key:
        issued.private_key_pem.write_to_path(settings.tls_key or "")


async def names_served(secure: str) -> set[str]:
    """The names in the certificate of a new connection."""
    host, port = secure.split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=trusting(), server_hostname="localhost")
    names = {value for kind, value in writer.get_extra_info("peercert")["subjectAltName"] if kind == "DNS"}
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return names


async def test_new_certificate_is_used_without_a_restart(settings: Settings, secure: str) -> None:
    assert await names_served(secure) == {"localhost"}
    issue(settings, "localhost", "renewed.example")
    assert await names_served(secure) == {"localhost", "renewed.example"}
    assert await names_served(secure) == {"localhost", "renewed.example"}


async def test_half_replaced_pair_keeps_the_old_certificate(
    settings: Settings, secure: str, caplog: pytest.LogCaptureFixture
) -> None:
    issue(settings, "localhost", "other.example", key=False)
    assert await names_served(secure) == {"localhost"}
    assert await names_served(secure) == {"localhost"}
    assert sum("the old one stays in use" in text for text in caplog.messages) == 1
    os.unlink(settings.tls_key or "")
    assert await names_served(secure) == {"localhost"}
    issue(settings, "localhost", "complete.example")
    assert await names_served(secure) == {"localhost", "complete.example"}


def test_tls_1_2_is_the_minimum(settings: Settings) -> None:
    context = make_context(settings)
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_no_files_means_no_tls() -> None:
    assert make_context(Settings()) is None


@pytest.mark.parametrize("only", ["tls_cert", "tls_key"])
def test_both_files_are_required(only: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match="give both --tls-cert and --tls-key, or neither"):
        make_context(Settings.load(**{only: getattr(settings, only)}))


@pytest.mark.parametrize("flag", ["tls_cert", "tls_key"])
def test_missing_file_is_named(flag: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match=rf"cannot read --{flag.replace('_', '-')} /nowhere/x.pem \(No such file"):
        make_context(settings.model_copy(update={flag: "/nowhere/x.pem"}))


def test_swapped_files_are_named(settings: Settings) -> None:
    swapped = settings.model_copy(update={"tls_cert": settings.tls_key, "tls_key": settings.tls_cert})
    with pytest.raises(SettingsError, match=r"--tls-cert .*key.pem has no PEM certificate"):
        make_context(swapped)


def test_key_of_another_certificate_is_named(settings: Settings, tmp_path: Path) -> None:
    CA.issue_cert("other.example").private_key_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(SettingsError, match="does not match --tls-cert"):
        make_context(settings.model_copy(update={"tls_key": str(tmp_path / "other.pem")}))


def test_malformed_file_is_named(settings: Settings, tmp_path: Path) -> None:
    text = Path(settings.tls_cert or "").read_text()
    (tmp_path / "cert.pem").write_text(text.replace("MII", "!!!", 1))
    with pytest.raises(SettingsError, match="for TLS"):
        make_context(settings)


def test_encrypted_key_is_rejected_without_a_prompt(settings: Settings, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.load_pem_private_key(Path(settings.tls_key or "").read_bytes(), None)
    locked = plain.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "key.pem").write_bytes(locked)
    with pytest.raises(SettingsError, match="is encrypted; decrypt it"):
        make_context(settings)
