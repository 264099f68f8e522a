"""The JavaScript player in real Chromium: which samples reach the audio device, and what it reports."""

import asyncio
import base64
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from websockets.http11 import Response

from sayline_tts.server.audio.opus import OpusEncoder
from tests.web.audio_capture import CapturedAudio, capture_audio, flush_captured_audio
from tests.web.browsers import Browsers
from tests.web.site import AUTOPLAY, INSECURE_HOST, ROOT, Site, http_response

RATE_HZ = 24_000
FRAME = 1920
TONE_HZ, LOUDNESS = 300, 0.5  # a whole number of periods per frame
PRE_SKIP = 156
FADE_MS = 8
BLANK = b'<!doctype html><html lang="en"><title>Blank</title><link rel="icon" href="/web/icon.svg"><p id="captions">'

# A test harness in the page. `play` plays encoded frames; `report` returns what the player reported.
HARNESS = """async () => {
  const { AudioOutput } = await import('/clients/js/sayline.js');
  const { Frame } = await import('/clients/js/frame.js');
  const ready = { sample_rate_hz: 24000, opus_pre_skip: 156 };
  const output = await AudioOutput.open();
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const harness = (window.harness = { output, underruns: [], played: [], player: null });
  harness.open = () => (harness.player = output.player({
    onUnderrun: (ms) => harness.underruns.push(ms), onPlayed: (ms) => harness.played.push(ms),
  }));
  harness.play = (format, packets, first = 0, player = harness.player) => packets.forEach((packet, n) => player.play(
    new Frame({ context_id: 'a', seq: n, start_sample: (first + n) * 1920, data: bytes(packet) }, format, ready)));
  harness.until = async (player, ms) => {
    while (player.playedMs <= ms) await new Promise((next) => setTimeout(next, 5));
  };
  harness.playToEnd = async () => {
    harness.player.end();
    const playedMs = await harness.player.finished;
    await window.capture?.flush();
    return playedMs;
  };
  harness.settle = () => new Promise((next) => setTimeout(next, 150));
  harness.report = async () => ({ underruns: harness.underruns, played: harness.played, total: harness.player.underruns,
    jitterMs: harness.player.jitterMs, playedMs: harness.player.playedMs });
  harness.open();
  return { format: output.format, rateHz: output.sampleRateHz };
}"""


def tone(frames: int, rate_hz: int = RATE_HZ, tone_hz: int = TONE_HZ) -> npt.NDArray[np.float64]:
    count = frames * FRAME * rate_hz // RATE_HZ
    return LOUDNESS * np.sin(2 * np.pi * tone_hz * np.arange(count) / rate_hz)


def pcm(frames: int) -> list[str]:
    return coded([(32768 * frame).astype("<i2").tobytes() for frame in tone(frames).reshape(-1, FRAME)])


def opus(frames: int, tone_hz: int = TONE_HZ) -> list[str]:
    encoder, samples = OpusEncoder(), tone(frames, tone_hz=tone_hz).astype(np.float32)
    return coded([encoder.encode(frame) for frame in samples.reshape(-1, FRAME)])


def coded(packets: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(packet).decode() for packet in packets]


async def open_blank_page(page: Any, site: Site) -> Any:
    await capture_audio(page, site)
    return await install_harness(page, site, site.address)


async def install_harness(page: Any, site: Site, address: str) -> Any:
    site.responders["/blank"] = lambda _: http_response(BLANK, "text/html")
    await page.goto(address + "blank")
    return await page.evaluate(HARNESS)


async def play(page: Any, format: str, packets: list[str], first: int = 0) -> None:
    await page.evaluate("([format, packets, first]) => harness.play(format, packets, first)", [format, packets, first])


async def play_to_end(page: Any) -> float:
    played_ms: float = await page.evaluate("harness.playToEnd()")
    return played_ms


def trim_silence(captured: CapturedAudio) -> npt.NDArray[np.float32]:
    """The samples from the first to the last that is not silence."""
    loud = np.flatnonzero(np.abs(captured.samples) > 1e-6)
    return captured.samples[loud[0] : loud[-1] + 1]


def max_deviation(samples: npt.NDArray[np.float32], expected: npt.NDArray[Any]) -> float:
    """The largest deviation outside the fades. Tries several alignments: a first sample of 0 looks like silence."""
    fade = len(expected) // 10
    inner = expected[fade:-fade]
    return float(min(np.abs(samples[fade + shift :][: len(inner)] - inner).max() for shift in range(-3, 4)))


def check_no_click(samples: npt.NDArray[np.float32], rate_hz: int) -> None:
    steepest = LOUDNESS * 2 * np.pi * TONE_HZ / rate_hz
    fade = LOUDNESS / (rate_hz * FADE_MS / 1000)
    assert np.abs(np.diff(samples)).max() <= 1.5 * (steepest + fade)  # margin: Opus overshoots


async def test_pcm_is_played_unchanged(site: Site, page: Any) -> None:
    assert await open_blank_page(page, site) == {"format": "opus", "rateHz": 48_000}
    await play(page, "pcm", pcm(20))
    assert await play_to_end(page) == 1600
    samples = trim_silence(await CapturedAudio.from_page(page))
    assert len(samples) == pytest.approx(20 * 2 * FRAME, abs=3)
    assert max_deviation(samples, tone(20, 48_000)) < 0.001
    check_no_click(samples, 48_000)


async def test_opus_is_played_from_the_first_sample(site: Site, page: Any) -> None:
    await open_blank_page(page, site)
    await play(page, "opus", opus(20))
    assert await play_to_end(page) == pytest.approx(1600 - 1000 * PRE_SKIP / RATE_HZ)
    samples = trim_silence(await CapturedAudio.from_page(page))
    assert max_deviation(samples, tone(20, 48_000)) < 0.1  # Opus is lossy, but the position is right
    check_no_click(samples, 48_000)


async def test_without_webcodecs_pcm_is_not_resampled(site: Site, page: Any) -> None:
    await page.add_init_script("delete globalThis.AudioDecoder")
    assert await open_blank_page(page, site) == {"format": "pcm", "rateHz": RATE_HZ}
    await play(page, "pcm", pcm(20))
    assert await play_to_end(page) == 1600
    samples = trim_silence(await CapturedAudio.from_page(page))
    assert max_deviation(samples, (32768 * tone(20)).astype("<i2") / np.float32(32768)) == 0


async def test_underrun_fades_and_is_reported(site: Site, page: Any) -> None:
    await open_blank_page(page, site)
    packets = pcm(20)
    await play(page, "pcm", packets[:5])
    await page.evaluate("harness.until(harness.player, 395)")
    await page.evaluate("harness.settle()")
    await play(page, "pcm", packets[5:], first=5)
    assert await play_to_end(page) == 1600
    captured = await CapturedAudio.from_page(page)
    report = await page.evaluate("harness.report()")
    [(_, dry_ms), (resumed_ms, _)] = captured.sounds
    assert report["underruns"] == [pytest.approx(resumed_ms - dry_ms, abs=40)]  # the fades count as silence
    assert report["total"] == {"count": 1, "ms": report["underruns"][0]}
    assert report["jitterMs"] > 80
    check_no_click(trim_silence(captured), 48_000)
    assert np.count_nonzero(trim_silence(captured)) == pytest.approx(1600 * 48, rel=0.01)


async def test_paused_position_is_exact_to_the_sample(site: Site, page: Any) -> None:
    await page.add_init_script("delete globalThis.AudioDecoder")  # avoids resampling
    await open_blank_page(page, site)
    one = coded([np.full(FRAME, 16384, "<i2").tobytes()])
    await play(page, "pcm", one * 20)
    await page.evaluate("harness.until(harness.player, 300)")
    await page.evaluate("harness.player.pause()")
    await page.evaluate("harness.settle()")
    played_ms = (await page.evaluate("harness.report()"))["playedMs"]
    # The last sample of the fade is 0.
    samples = (await CapturedAudio.from_page(page)).samples
    assert np.count_nonzero(samples) + 1 == pytest.approx(played_ms * 24, abs=1e-6)
    await page.evaluate("harness.player.resume()")
    assert await play_to_end(page) == 1600


async def test_stop_is_silent_without_a_click(site: Site, page: Any) -> None:
    await open_blank_page(page, site)
    await play(page, "opus", opus(20))
    await page.evaluate("harness.until(harness.player, 300)")
    stopped_ms = await page.evaluate("harness.player.stop()")
    await page.evaluate("harness.settle()")
    captured = await CapturedAudio.from_page(page)
    [(start_ms, end_ms)] = captured.sounds
    assert end_ms - start_ms == pytest.approx(stopped_ms, abs=100)
    check_no_click(trim_silence(captured), 48_000)


async def test_damaged_packet_leaves_a_gap_of_its_length(site: Site, page: Any) -> None:
    await open_blank_page(page, site)
    packets = opus(20)
    packets[10] = coded([b"\xff\xff\x01\x02\x03"])[0]
    await play(page, "opus", packets)
    assert await play_to_end(page) == pytest.approx(1600 - 1000 * PRE_SKIP / RATE_HZ)
    [(_, gap_ms), (resumed_ms, _)] = (await CapturedAudio.from_page(page)).sounds
    assert resumed_ms - gap_ms == pytest.approx(80, abs=20)


async def test_volume_is_applied_and_clamped(site: Site, page: Any) -> None:
    await open_blank_page(page, site)
    await page.evaluate("() => { harness.output.volume = 0; }")
    await page.evaluate("harness.settle()")
    await play(page, "pcm", pcm(5))
    assert await play_to_end(page) == 400
    assert np.abs((await CapturedAudio.from_page(page)).samples).max() < 0.001
    assert await page.evaluate("() => { harness.output.volume = 2; return harness.output.volume; }") == 1


async def test_several_players_are_mixed(site: Site, page: Any) -> None:
    await open_blank_page(page, site)
    await page.evaluate("() => { harness.first = harness.player; harness.open(); }")
    await page.evaluate(
        "([frames, packets]) => { harness.play('pcm', frames, 0, harness.first); harness.play('opus', packets); }",
        [pcm(20), opus(20, tone_hz=425)],  # the same tone twice might cancel out
    )
    await page.evaluate("() => { harness.first.end(); }")
    await play_to_end(page)
    assert np.abs((await CapturedAudio.from_page(page)).samples).max() > 1.2 * LOUDNESS
    await page.evaluate("harness.output.close()")
    with pytest.raises(Exception, match="this output is closed: open another"):
        await page.evaluate("harness.output.player()")


async def test_readme_page_speaks(site: Site, page: Any) -> None:
    found = re.search("```html\n(.*?)```", (ROOT / "clients/js/README.md").read_text("utf-8"), re.DOTALL)
    assert found
    body = BLANK + found[1].encode()
    site.responders["/printed"] = lambda _: without_policy(http_response(body, "text/html"))  # has an inline script
    await capture_audio(page, site)
    await page.goto(site.address + "printed")
    await page.get_by_role("button", name="Speak").click()
    await site.until(lambda received: any(message["type"] == "end" for message in received))
    async with asyncio.timeout(30):
        while (await CapturedAudio.from_page(page)).speech_ms < 6 * 80 - 30:  # six words
            await flush_captured_audio(page, 50)


def without_policy(response: Response) -> Response:
    del response.headers["Content-Security-Policy"]
    return response


async def test_opening_without_a_click_is_rejected(site: Site, browsers: Browsers) -> None:
    script = b"""import { AudioOutput } from '/clients/js/sayline.js';
        AudioOutput.open().catch(({ message }) => { document.body.textContent = message; });"""
    html = b'<script type="module" src="/early.js"></script><p>'
    site.responders["/early.js"] = lambda _: http_response(script, "text/javascript")
    site.responders["/early"] = lambda _: http_response(html, "text/html")
    async with browsers.page(without=(AUTOPLAY,)) as page:
        await page.goto(site.address + "early")
        await page.get_by_text("in the handler of a click").wait_for()
        page.console_errors.clear()  # the browser warns about autoplay


async def test_insecure_page_plays_through_a_script_processor(site: Site, page: Any) -> None:
    address = site.address.replace("127.0.0.1", INSECURE_HOST)
    assert await install_harness(page, site, address) == {"format": "pcm", "rateHz": RATE_HZ}
    assert await page.evaluate("isSecureContext") is False
    await play(page, "pcm", pcm(20))
    loudest = await page.evaluate(
        """async () => {
          const analyser = new AnalyserNode(harness.output.node.context);
          harness.output.node.connect(analyser);
          await harness.until(harness.player, 500);
          const samples = new Float32Array(analyser.fftSize);
          analyser.getFloatTimeDomainData(samples);
          return Math.max(...samples);
        }"""
    )
    assert loudest == pytest.approx(LOUDNESS, abs=0.02)
    assert await play_to_end(page) == 1600
    page.console_errors.clear()  # the browser warns about script processors
