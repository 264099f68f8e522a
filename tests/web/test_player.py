"""The JavaScript player alone, in real Chromium: what of a stream reaches the sound device, and what is told of it."""

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
from tests.web.listening import Heard, listen
from tests.web.site import ARGUMENTS, CHROMIUM, ROOT, Site, respond

RATE_HZ = 24_000
FRAME = 1920
TONE_HZ, LOUDNESS = 300, 0.5  # a whole number of waves a frame
PRE_SKIP = 156
FADE_MS = 8
BLANK = b'<!doctype html><html lang="en"><title>Blank</title><link rel="icon" href="/web/icon.svg"><p id="captions">'

# What a page would write: `play` takes frames, each after a wait; `done` is fulfilled with what there is to tell.
STAGE = """async () => {
  const { AudioOutput } = await import('/clients/js/sayline.js');
  const { Frame } = await import('/clients/js/frame.js');
  const ready = { sample_rate_hz: 24000, opus_pre_skip: 156 };
  const output = await AudioOutput.open();
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stage = (window.stage = { output, gaps: [], played: [], player: null });
  stage.open = () => (stage.player = output.player({
    onUnderrun: (ms) => stage.gaps.push(ms), onPlayed: (ms) => stage.played.push(ms),
  }));
  stage.play = (format, packets, first = 0, player = stage.player) => packets.forEach((packet, n) => player.play(
    new Frame({ context_id: 'a', seq: n, start_sample: (first + n) * 1920, data: bytes(packet) }, format, ready)));
  stage.until = async (player, ms) => {
    while (player.playedMs <= ms) await new Promise((next) => setTimeout(next, 5));
  };
  stage.passed = () => new Promise((next) => setTimeout(next, 150));
  stage.told = async () => ({ gaps: stage.gaps, played: stage.played, underruns: stage.player.underruns,
    jitterMs: stage.player.jitterMs, playedMs: stage.player.playedMs });
  stage.open();
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


async def enter(page: Any, site: Site) -> Any:
    await listen(page, site)
    return await set_up(page, site, site.address)


async def set_up(page: Any, site: Site, address: str) -> Any:
    site.answers["/blank"] = lambda _: respond(BLANK, "text/html")
    await page.goto(address + "blank")
    return await page.evaluate(STAGE)


async def play(page: Any, format: str, packets: list[str], first: int = 0) -> None:
    await page.evaluate("([format, packets, first]) => stage.play(format, packets, first)", [format, packets, first])


async def until_heard(page: Any) -> float:
    played_ms: float = await page.evaluate(
        "async () => { stage.player.end(); const ms = await stage.player.finished; await stage.passed(); return ms; }"
    )
    return played_ms


def sounding(heard: Heard) -> npt.NDArray[np.float32]:
    """From the first sample that is not silence to the last."""
    loud = np.flatnonzero(np.abs(heard.samples) > 1e-6)
    return heard.samples[loud[0] : loud[-1] + 1]


def off_by(samples: npt.NDArray[np.float32], expected: npt.NDArray[Any]) -> float:
    """At the worst, but for the fades. A first or last sample that is 0 cannot be told from silence."""
    fade = len(expected) // 10
    inner = expected[fade:-fade]
    return float(min(np.abs(samples[fade + shift :][: len(inner)] - inner).max() for shift in range(-3, 4)))


def check_no_click(samples: npt.NDArray[np.float32], rate_hz: int) -> None:
    steepest = LOUDNESS * 2 * np.pi * TONE_HZ / rate_hz
    fade = LOUDNESS / (rate_hz * FADE_MS / 1000)
    assert np.abs(np.diff(samples)).max() <= 1.5 * (steepest + fade)  # Opus overshoots a little


async def test_pcm_is_heard_as_it_was_made(site: Site, page: Any) -> None:
    assert await enter(page, site) == {"format": "opus", "rateHz": 48_000}
    await play(page, "pcm", pcm(20))
    assert await until_heard(page) == 1600
    samples = sounding(await Heard.of(page))
    assert len(samples) == pytest.approx(20 * 2 * FRAME, abs=3)
    assert off_by(samples, tone(20, 48_000)) < 0.001
    check_no_click(samples, 48_000)


async def test_opus_is_heard_from_the_first_sample_on(site: Site, page: Any) -> None:
    await enter(page, site)
    await play(page, "opus", opus(20))
    assert await until_heard(page) == pytest.approx(1600 - 1000 * PRE_SKIP / RATE_HZ)
    samples = sounding(await Heard.of(page))
    assert off_by(samples, tone(20, 48_000)) < 0.1  # Opus is not exact, but it is there where it belongs
    check_no_click(samples, 48_000)


async def test_without_webcodecs_pcm_is_heard_unchanged(site: Site, page: Any) -> None:
    await page.add_init_script("delete globalThis.AudioDecoder")
    assert await enter(page, site) == {"format": "pcm", "rateHz": RATE_HZ}
    await play(page, "pcm", pcm(20))
    assert await until_heard(page) == 1600
    samples = sounding(await Heard.of(page))
    assert off_by(samples, (32768 * tone(20)).astype("<i2") / np.float32(32768)) == 0


async def test_a_gap_fades_and_is_told(site: Site, page: Any) -> None:
    await enter(page, site)
    packets = pcm(20)
    await play(page, "pcm", packets[:5])
    await page.evaluate("stage.until(stage.player, 395)")
    await page.evaluate("stage.passed()")
    await play(page, "pcm", packets[5:], first=5)
    assert await until_heard(page) == 1600
    heard = await Heard.of(page)
    told = await page.evaluate("stage.told()")
    [(_, dry_ms), (on_ms, _)] = heard.loud
    assert told["gaps"] == [pytest.approx(on_ms - dry_ms, abs=40)]  # what is softest counts as silence here
    assert told["underruns"] == {"count": 1, "ms": told["gaps"][0]}
    assert told["jitterMs"] > 80
    check_no_click(sounding(heard), 48_000)
    assert np.count_nonzero(sounding(heard)) == pytest.approx(1600 * 48, rel=0.01)


async def test_where_it_was_paused_is_known_to_the_sample(site: Site, page: Any) -> None:
    await page.add_init_script("delete globalThis.AudioDecoder")  # so that nothing is resampled
    await enter(page, site)
    one = coded([np.full(FRAME, 16384, "<i2").tobytes()])
    await play(page, "pcm", one * 20)
    await page.evaluate("stage.until(stage.player, 300)")
    await page.evaluate("stage.player.pause()")
    await page.evaluate("stage.passed()")
    played_ms = (await page.evaluate("stage.told()"))["playedMs"]
    # The last one of the fade is 0.
    assert np.count_nonzero((await Heard.of(page)).samples) + 1 == pytest.approx(played_ms * 24, abs=1e-6)
    await page.evaluate("stage.player.resume()")
    assert await until_heard(page) == 1600


async def test_stop_is_silence_without_a_click(site: Site, page: Any) -> None:
    await enter(page, site)
    await play(page, "opus", opus(20))
    await page.evaluate("stage.until(stage.player, 300)")
    stopped_ms = await page.evaluate("stage.player.stop()")
    await page.evaluate("stage.passed()")
    heard = await Heard.of(page)
    [(start_ms, end_ms)] = heard.loud
    assert end_ms - start_ms == pytest.approx(stopped_ms, abs=100)
    check_no_click(sounding(heard), 48_000)


async def test_a_damaged_packet_leaves_the_rest_where_it_belongs(site: Site, page: Any) -> None:
    await enter(page, site)
    packets = opus(20)
    packets[10] = coded([b"\xff\xff\x01\x02\x03"])[0]
    await play(page, "opus", packets)
    assert await until_heard(page) == pytest.approx(1600 - 1000 * PRE_SKIP / RATE_HZ)
    [(_, hole_ms), (on_ms, _)] = (await Heard.of(page)).loud
    assert on_ms - hole_ms == pytest.approx(80, abs=20)


async def test_it_is_as_loud_as_wished(site: Site, page: Any) -> None:
    await enter(page, site)
    await page.evaluate("() => { stage.output.volume = 0; }")
    await page.evaluate("stage.passed()")
    await play(page, "pcm", pcm(5))
    assert await until_heard(page) == 400
    assert np.abs((await Heard.of(page)).samples).max() < 0.001
    assert await page.evaluate("() => { stage.output.volume = 2; return stage.output.volume; }") == 1


async def test_several_are_heard_at_once(site: Site, page: Any) -> None:
    await enter(page, site)
    await page.evaluate("() => { stage.first = stage.player; stage.open(); }")
    await page.evaluate(
        "([frames, packets]) => { stage.play('pcm', frames, 0, stage.first); stage.play('opus', packets); }",
        [pcm(20), opus(20, tone_hz=425)],  # one tone twice might be silence
    )
    await page.evaluate("() => { stage.first.end(); }")
    await until_heard(page)
    assert np.abs((await Heard.of(page)).samples).max() > 1.2 * LOUDNESS
    await page.evaluate("stage.output.close()")
    with pytest.raises(Exception, match="this output is closed: open another"):
        await page.evaluate("stage.output.player()")


async def test_the_page_in_the_readme_speaks(site: Site, page: Any) -> None:
    found = re.search("```html\n(.*?)```", (ROOT / "clients/js/README.md").read_text("utf-8"), re.DOTALL)
    assert found
    body = BLANK + found[1].encode()
    site.answers["/printed"] = lambda _: without_policy(respond(body, "text/html"))  # its script is part of it
    await listen(page, site)
    await page.goto(site.address + "printed")
    await page.get_by_role("button", name="Speak").click()
    await site.until(lambda received: any(message["type"] == "end" for message in received))
    async with asyncio.timeout(30):
        while not (loud := (await Heard.of(page)).loud) or loud[-1][1] - loud[0][0] < 6 * 80 - 30:
            pass  # six words


def without_policy(response: Response) -> Response:
    del response.headers["Content-Security-Policy"]
    return response


async def test_who_was_not_clicked_is_told_so(site: Site, playwright: Any) -> None:
    script = b"""import { AudioOutput } from '/clients/js/sayline.js';
        AudioOutput.open().catch(({ message }) => { document.body.textContent = message; });"""
    site.answers["/early.js"] = lambda _: respond(script, "text/javascript")
    site.answers["/early"] = lambda _: respond(b'<script type="module" src="/early.js"></script><p>', "text/html")
    shy = [argument for argument in ARGUMENTS if not argument.startswith("--autoplay")]
    chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=shy)
    page = await chromium.new_page()
    await page.goto(site.address + "early")
    await page.get_by_text("in the handler of a click").wait_for()
    await chromium.close()


async def test_a_page_that_browsers_do_not_trust_is_heard_too(site: Site, playwright: Any) -> None:
    arguments = [*ARGUMENTS, "--host-resolver-rules=MAP sayline.test 127.0.0.1"]
    chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    page = await chromium.new_page()
    address = site.address.replace("127.0.0.1", "sayline.test")  # neither https nor localhost
    assert await set_up(page, site, address) == {"format": "pcm", "rateHz": RATE_HZ}
    assert await page.evaluate("isSecureContext") is False
    await play(page, "pcm", pcm(20))
    loudest = await page.evaluate(
        """async () => {
          const analyser = new AnalyserNode(stage.output.node.context);
          stage.output.node.connect(analyser);
          await stage.until(stage.player, 500);
          const samples = new Float32Array(analyser.fftSize);
          analyser.getFloatTimeDomainData(samples);
          return Math.max(...samples);
        }"""
    )
    assert loudest == pytest.approx(LOUDNESS, abs=0.02)
    assert await until_heard(page) == 1600
    await chromium.close()
