"""How many listeners does a running server keep supplied? Opens sessions on real sockets and plays along.

    sayline serve --variant embedded &
    python bench/sessions.py --sessions 20

Each session writes its text a word at a time, as an LLM does. Its listener plays from the first packet on, in real
time: a frame that comes after the moment when it should begin to play is an underrun. TTFA runs from the last byte of
the first sentence to the first audio. The load generator's own CPU time is reported, because it competes.
"""

import argparse
import asyncio
import json
import random
import resource
import statistics
import time
from dataclasses import dataclass, field

import sayline

FIRST = "Hello there, I am glad that you could come."
REST = (
    "Let me tell you what we have planned for today. First we will walk down to the river and look at the boats. "
    "Then there will be something to eat, and after that we can sit in the sun and talk. If it rains we stay inside. "
    "Some of us will leave early, because the last train goes at nine. The others may stay as long as they like."
)


@dataclass
class Listener:
    asked_s: float = 0.0  # when the first sentence was out
    first_s: float = 0.0  # when the first frame was in
    speech_ms: float = 0.0
    stalls_ms: list[float] = field(default_factory=list)

    def on_frame(self, frame: sayline.Frame) -> None:
        now_s = time.perf_counter()
        self.first_s = self.first_s or now_s
        # A stall moves everything that follows: the listener goes on where it stopped.
        due_s = self.first_s + (frame.start_ms + sum(self.stalls_ms)) / 1000
        if now_s > due_s:
            self.stalls_ms.append((now_s - due_s) * 1000)
        self.speech_ms = frame.start_ms + 80


async def talk(url: str, voice: str | None, words_a_second: float, delay_s: float) -> Listener:
    listener = Listener()
    await asyncio.sleep(delay_s)

    async def words() -> object:
        yield FIRST + " "
        listener.asked_s = time.perf_counter()
        for word in REST.split():
            await asyncio.sleep(1 / words_a_second)
            yield word + " "

    async with sayline.connect(url) as session, session.context(voice, format="opus") as speech:
        async for frame in speech.say(words()):
            listener.on_frame(frame)
    return listener


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:8000")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--words-a-second", type=float, default=8.0)
    parser.add_argument("--within", type=float, default=2.0, help="seconds in which all of them begin")
    parser.add_argument("--voice")
    options = parser.parse_args()
    rng = random.Random(0)
    began_s = time.perf_counter()
    listeners = await asyncio.gather(
        *(
            talk(options.url, options.voice, options.words_a_second, rng.uniform(0, options.within))
            for _ in range(options.sessions)
        )
    )
    took_s = time.perf_counter() - began_s
    ttfa_ms = sorted((each.first_s - each.asked_s) * 1000 for each in listeners)
    stalls = [stall for each in listeners for stall in each.stalls_ms]
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        "sessions": len(listeners),
        "speech_s": round(sum(each.speech_ms for each in listeners) / 1000, 1),
        "took_s": round(took_s, 1),
        "ttfa_ms_p50": round(statistics.median(ttfa_ms), 1),
        "ttfa_ms_p95": round(ttfa_ms[int(0.95 * (len(ttfa_ms) - 1))], 1),
        "listeners_without_underrun": sum(not each.stalls_ms for each in listeners),
        "underruns": len(stalls),
        "longest_stall_ms": round(max(stalls, default=0.0), 1),
        "generator_cpu_s": round(used.ru_utime + used.ru_stime, 1),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
