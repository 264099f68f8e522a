"""Sayline behind the proxies whose configurations are in `deploy/`: the real programs, with TLS."""

import asyncio
import io
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.fakes import FakeEngine
from tests.server.stream_client import StreamClient, serving

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "speech.example.com"
CA = trustme.CA()
UPLOAD_BYTES = 3_000_000  # more than the proxies' buffers
pytestmark = pytest.mark.slow


class Proxied:
    """A server behind a proxy, reached by its host name over TLS."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tls = ssl.create_default_context()
        CA.configure_trust(self.tls)
        self.client: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"https://{HOST}:{self.port}{path}"


class _Loopback(aiohttp.abc.AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [aiohttp.abc.ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def nginx(folder: Path, server: str, port: int) -> list[str]:
    site = (DEPLOY / "nginx.conf").read_text("utf-8")
    replaced = {
        "127.0.0.1:8000": server,
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(folder / "cert.pem"),
        f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(folder / "key.pem"),
    }
    for old, new in replaced.items():
        assert site.count(old) == 1, old
        site = site.replace(old, new)
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; client_body_temp_path {folder}/body; {paths} {site} }}"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, server: str, port: int) -> list[str]:
    site = (DEPLOY / "Caddyfile").read_text("utf-8")
    assert site.count(f"\n{HOST} {{") == site.count("127.0.0.1:8000") == 1
    site = site.replace("127.0.0.1:8000", server).replace(
        f"\n{HOST} {{", f"\nhttps://{HOST}:{port} {{\n\ttls {folder}/cert.pem {folder}/key.pem\n"
    )
    options = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {folder}\n}}\n"
    (folder / "Caddyfile").write_text(options + site)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(params=PROXIES)
async def proxied(request: pytest.FixtureRequest, engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Proxied]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed (a Debian package)")
    certificate = CA.issue_cert(HOST)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    settings = Settings.load(
        api_key="secret", trusted_proxies="127.0.0.1", host_names=HOST, data=str(tmp_path / "data")
    )
    app = await make_app(settings, engine.model, engine)
    async with serving(app) as server:
        port = free_port()
        command = PROXIES[request.param](tmp_path, server, port)
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        try:
            await wait_until_open(process, port)
            proxied = Proxied(port)
            connector = aiohttp.TCPConnector(ssl=proxied.tls, resolver=_Loopback())
            headers = {"Authorization": "Bearer secret"}
            async with aiohttp.ClientSession(connector=connector, headers=headers) as proxied.client:
                yield proxied
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.communicate(), 20)


async def wait_until_open(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            assert process.returncode is None, (await process.communicate())[1].decode()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_stream_passes_both_ways(proxied: Proxied, encoding: str) -> None:
    async with connect(
        f"wss://{HOST}:{proxied.port}/v1/stream",
        host="127.0.0.1",
        port=proxied.port,
        ssl=proxied.tls,
        server_hostname=HOST,
        subprotocols=[Subprotocol(f"sayline.v1.{encoding}")],
        additional_headers={"Authorization": "Bearer secret", "Origin": f"https://{HOST}:{proxied.port}"},
    ) as stream:
        client = StreamClient(stream)
        await client.speak("Hello there.")
        await client.receive_until_final()
    assert client.received[-1]["type"] == "done"


async def test_audio_leaves_as_it_is_made(proxied: Proxied, engine: FakeEngine) -> None:
    body = {"text": "word " * 50, "format": "pcm"}
    engine.runner.decode_queue.hold()
    async with asyncio.timeout(30):
        pending = asyncio.create_task(proxied.client.post(proxied.url("/stream"), json=body))
        await engine.wait_until(lambda: engine.runner.decode_queue.backlog > 1)
        engine.runner.decode_queue.resume(1)
        async with await pending as response:
            assert response.status == 200
            assert len(await response.content.readany()) > 0  # while all further frames are held
            engine.runner.decode_queue.resume()
            await response.read()


async def test_large_upload_passes(proxied: Proxied) -> None:
    form = aiohttp.FormData({"name": "Me", "consent": "true"})
    form.add_field("file", io.BytesIO(bytes(UPLOAD_BYTES)), filename="me.wav")
    async with proxied.client.post(proxied.url("/v1/voices"), data=form) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_voice")  # read to its end


async def test_key_is_required_and_the_clients_address_is_known(proxied: Proxied) -> None:
    async with proxied.client.get(proxied.url("/v1/voices"), headers={"Authorization": "Bearer wrong"}) as response:
        assert response.status == 401
    headers = {"X-Forwarded-For": "203.0.113.9"}  # of a client that pretends to be another
    async with proxied.client.get(proxied.url("/v1/voices"), headers=headers) as response:
        assert response.status == 200
