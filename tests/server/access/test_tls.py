"""HTTPS and WSS on a real socket, and what is said where the files cannot be used."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp.test_utils import TestServer
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from sayline_tts.server.access.tls import make_context
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings, SettingsError
from tests.server.fakes import FakeEngine
from tests.server.peer import Peer

CA = trustme.CA()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    certificate = CA.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return Settings.load(tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem"))


@pytest.fixture
async def secure(settings: Settings, engine: FakeEngine) -> AsyncIterator[str]:
    server = TestServer(await make_app(settings, engine.model, engine), scheme="https")
    await server.start_server(ssl=make_context(settings))
    yield f"{server.host}:{server.port}"
    await server.close()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


async def test_a_whole_session_over_tls(secure: str) -> None:
    subprotocols = [Subprotocol("sayline.v1.json")]
    origin = f"https://{secure}"
    async with connect(
        f"wss://{secure}/v1/stream", subprotocols=subprotocols, ssl=trusting(), additional_headers={"Origin": origin}
    ) as socket:
        one = Peer(socket)
        await one.say("Hello there.")
        await one.hear_all()
    assert one.heard[-1]["type"] == "done"


def test_old_versions_of_tls_are_refused(settings: Settings) -> None:
    context = make_context(settings)
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_without_files_there_is_no_tls() -> None:
    assert make_context(Settings()) is None


@pytest.mark.parametrize("only", ["tls_cert", "tls_key"])
def test_both_files_are_needed(only: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match="give both --tls-cert and --tls-key, or neither"):
        make_context(Settings.load(**{only: getattr(settings, only)}))


@pytest.mark.parametrize("flag", ["tls_cert", "tls_key"])
def test_a_file_that_is_not_there_is_named(flag: str, settings: Settings) -> None:
    with pytest.raises(
        SettingsError, match=rf"--{flag.replace('_', '-')} /nowhere/x.pem cannot be read \(No such file"
    ):
        make_context(settings.model_copy(update={flag: "/nowhere/x.pem"}))


def test_files_given_the_wrong_way_round_are_named(settings: Settings) -> None:
    swapped = settings.model_copy(update={"tls_cert": settings.tls_key, "tls_key": settings.tls_cert})
    with pytest.raises(SettingsError, match=r"--tls-cert .*key.pem holds no certificate in PEM"):
        make_context(swapped)


def test_a_key_of_another_certificate_is_named(settings: Settings, tmp_path: Path) -> None:
    CA.issue_cert("other.example").private_key_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(SettingsError, match="is not the key of the certificate in"):
        make_context(settings.model_copy(update={"tls_key": str(tmp_path / "other.pem")}))


def test_a_damaged_file_is_named(settings: Settings, tmp_path: Path) -> None:
    text = Path(settings.tls_cert or "").read_text()
    (tmp_path / "cert.pem").write_text(text.replace("MII", "!!!", 1))
    with pytest.raises(SettingsError, match="cannot be used for TLS"):
        make_context(settings)


def test_a_key_with_a_password_is_not_asked_for_at_the_terminal(settings: Settings, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.load_pem_private_key(Path(settings.tls_key or "").read_bytes(), None)
    locked = plain.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "key.pem").write_bytes(locked)
    with pytest.raises(SettingsError, match="has a password; take it off"):
        make_context(settings)
