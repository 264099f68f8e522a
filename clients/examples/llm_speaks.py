"""Speak an LLM's answer while it is being written:

    pip install 'sayline-client[play]' openai
    python llm_speaks.py "Why is the sky blue?"

`OPENAI_API_KEY` or `OPENAI_BASE_URL` (Ollama, vLLM, ...) and `OPENAI_MODEL` select the LLM. Without one, a stand-in
writes at the speed of an LLM. `-o answer.wav` writes a file instead of playing; Ctrl-C prints what was heard.
"""

import argparse
import asyncio
import os
import re
import sys
import wave
from collections.abc import AsyncIterator
from typing import Any

import sayline

STAND_IN = """There is no language model here, so I say what I always say. I write this as a model would, word by word,
and you hear it while I am still writing. It costs $0.00, and 100% of it is made up. Set OPENAI_API_KEY to hear a real
one."""
TOKENS_PER_S = 30


async def main() -> None:
    arguments = parse()
    async with sayline.connect(arguments.server) as server, server.context(arguments.voice) as speech:
        speech.feed(ask(arguments.question))
        if arguments.output is None:
            await play(speech)
        else:
            await write(speech, arguments.output)


def ask(question: str) -> Any:
    """Return a stream of text. `feed` accepts the streams of the OpenAI, Anthropic and LangChain SDKs as they are."""
    if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        return stand_in()
    from openai import AsyncOpenAI

    model = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
    llm = AsyncOpenAI(api_key=os.environ.get("OPENAI_API_KEY", "none"))
    return llm.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], stream=True)


async def stand_in() -> AsyncIterator[str]:
    for token in re.findall(r"\S+\s*", STAND_IN):
        await asyncio.sleep(1 / TOKENS_PER_S)
        yield token


async def play(speech: sayline.Context) -> None:
    async with sayline.Player() as player:
        try:
            await player.play(speech)
        except asyncio.CancelledError:  # Ctrl-C
            heard = await player.cancel()
            print(f"\nYou heard: {heard.heard_text}\nNot said: {heard.unheard_text}")  # for the LLM's history


async def write(speech: sayline.Context, path: str) -> None:
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, speech.sample_rate_hz, 0, "NONE", ""))
        async for event in speech:
            if isinstance(event, sayline.Frame):
                file.writeframes(event.pcm)
            elif isinstance(event, sayline.Word):
                print(event.text, end=" ", flush=True)
    print()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speak an LLM's answer while it is being written.")
    parser.add_argument("question", nargs="?", default="Tell me a very short story.")
    parser.add_argument("--server", default="ws://127.0.0.1:8000")
    parser.add_argument("--voice")
    parser.add_argument("-o", "--output", help="WAV file to write instead of playing")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except sayline.SaylineError as error:
        sys.exit(f"llm_speaks: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
