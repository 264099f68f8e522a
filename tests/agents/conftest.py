"""Import the agent frameworks, which live in an environment of their own (constraints.txt); elsewhere tests skip."""

import importlib.util
import warnings

with warnings.catch_warnings():  # what they say of themselves when they are loaded is not about us
    warnings.simplefilter("ignore")
    if importlib.util.find_spec("pipecat"):
        import pipecat.processors.aggregators.llm_response_universal
        import pipecat.services.tts_service
        import pipecat.workers.runner  # noqa: F401
    if importlib.util.find_spec("livekit"):
        import livekit.agents  # noqa: F401
