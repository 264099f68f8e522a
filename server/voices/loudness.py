"""The loudness of voices, and the gain that brings each to a target."""

import logging
import math
from typing import cast
from weakref import WeakKeyDictionary

from sayline_tts.engine.audio.loudness import integrated_loudness
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.text.normalization.normalizer import language_code
from sayline_tts.engine.tts_model import TTSModel, VoiceState

log = logging.getLogger(__name__)

MAX_GAIN_DB = 20.0
SEED = 1
# About ten seconds: single sentences of a voice differ by 1 LU and more.
TEXTS = {
    "en": "The weather will be warm and sunny in the north, with some rain later. Please call me back when you have "
    "found the keys to the old house. A little bird sat on the wooden fence and looked at the children.",
    "de": "Im Norden wird das Wetter warm und sonnig, später kommt etwas Regen. Ruf mich bitte zurück, wenn du den "
    "Schlüssel zum alten Haus gefunden hast. Ein kleiner Vogel saß auf dem Zaun und sah den Kindern zu.",
    "fr": "Il fera chaud et beau dans le nord, avec un peu de pluie plus tard. Rappelle-moi quand tu auras trouvé "
    "les clés de la vieille maison. Un petit oiseau était assis sur la clôture et regardait les enfants.",
    "es": "En el norte hará calor y sol, con algo de lluvia más tarde. Llámame cuando hayas encontrado las llaves de"
    " la casa vieja. Un pajarito estaba sentado en la valla y miraba a los niños.",
    "it": "Al nord farà caldo e ci sarà il sole, con un po' di pioggia più tardi. Richiamami quando avrai trovato le"
    " chiavi della vecchia casa. Un uccellino stava sulla staccionata e guardava i bambini.",
    "pt": "No norte vai fazer calor e sol, com um pouco de chuva mais tarde. Liga para mim quando encontrares as "
    "chaves da casa velha. Um passarinho estava sentado na cerca e olhava para as crianças.",
    "nl": "In het noorden wordt het warm en zonnig, later valt er wat regen. Bel me terug als je de sleutels van het"
    " oude huis hebt gevonden. Een klein vogeltje zat op het hek en keek naar de kinderen.",
}


class VoiceLoudness:
    """Measures a voice once, by a text that it speaks. Without a target every gain is 1 and nothing is measured."""

    def __init__(self, model: ModelDescription, target_lufs: float | None = None) -> None:
        self._model, self._target_lufs = model, target_lufs
        self._gains: WeakKeyDictionary[Voice, float] = WeakKeyDictionary()

    def measure(self, voice: Voice) -> None:
        """Blocks while the voice speaks ten seconds."""
        if self._target_lufs is None or voice in self._gains:
            return
        config, language = self._model.config, language_code(self._model.checkpoint.name.partition("_")[0])
        speaker = TTSModel(
            cast(Model, self._model),  # settings refuse a target without weights
            config.default_temperature,
            1,
            None,
            config.default_eos_threshold,
        )
        sound = speaker.generate_audio(VoiceState(voice), TEXTS.get(language, TEXTS["en"]), seed=SEED)
        loudness = integrated_loudness(sound.numpy(), self._model.sample_rate_hz)
        if not math.isfinite(loudness):
            log.warning("a voice is silent in the text that its loudness is measured by; its level is not changed")
            return
        gain_db = max(-MAX_GAIN_DB, min(MAX_GAIN_DB, self._target_lufs - loudness))
        self._gains[voice] = 10 ** (gain_db / 20)

    def gain(self, voice: Voice) -> float:
        """The factor for samples of this voice."""
        return self._gains.get(voice, 1.0)
