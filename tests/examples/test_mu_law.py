import mu_law
import numpy as np
import pytest

EVERY_CODE = bytes(range(256))
RATE_HZ = 24_000
FRAME = 1920


def tone(hz: float, samples: int, loudness: float = 8000) -> bytes:
    return (loudness * np.sin(np.arange(samples) * 2 * np.pi * hz / RATE_HZ)).astype(np.int16).tobytes()


def test_known_samples_have_the_standard_codes() -> None:
    assert mu_law.mu_law([0, 32_767, -32_768, 1000, -1000, 8031]).hex() == "ff8000ce4ea0"
    assert mu_law.decode(bytes.fromhex("ff8000ce")).tolist() == [0, 32_124, -32_124, 988]


def test_every_code_round_trips() -> None:
    there_and_back = mu_law.mu_law(mu_law.decode(EVERY_CODE))
    assert there_and_back.replace(b"\x7f", b"\xff") == EVERY_CODE.replace(b"\x7f", b"\xff")  # two codes for nothing


def test_quantization_error_is_at_most_half_a_step() -> None:
    samples = np.arange(-32_124, 32_125)
    error = np.abs(mu_law.decode(mu_law.mu_law(samples)) - samples)
    assert (error <= np.maximum(4, (np.abs(samples) + 132) / 32 + 1)).all()


def test_80_ms_become_four_packets_of_20_ms() -> None:
    assert len(mu_law.TelephoneEncoder(RATE_HZ).encode(tone(400, FRAME))) == 4 * 160


def test_resampling_in_pieces_is_seamless() -> None:
    whole, pieces = mu_law.TelephoneEncoder(RATE_HZ), mu_law.TelephoneEncoder(RATE_HZ)
    sound = tone(400, 4 * FRAME)
    assert whole.encode(sound) == b"".join(
        pieces.encode(sound[at : at + 2 * FRAME]) for at in range(0, len(sound), 2 * FRAME)
    )


@pytest.mark.parametrize(
    ("hz", "low", "high"), [(400, 0.95, 1.05), (3000, 0.95, 1.05), (5000, 0, 0.02), (7600, 0, 0.02)]
)
def test_telephone_band_passes_and_the_rest_is_removed(hz: float, low: float, high: float) -> None:
    heard = mu_law.decode(mu_law.TelephoneEncoder(RATE_HZ).encode(tone(hz, 10 * FRAME)))[200:]
    assert low <= np.sqrt((heard.astype(float) ** 2).mean() * 2) / 8000 <= high


def test_unsupported_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="44100 Hz is not a multiple of 8000 Hz"):
        mu_law.TelephoneEncoder(44_100)


def test_speech_is_detected_once_and_a_short_noise_is_ignored() -> None:
    detector = mu_law.VoiceDetector()
    loud, silent = mu_law.TelephoneEncoder(RATE_HZ).encode(tone(400, FRAME))[160:320], b"\xff" * 160
    assert [detector.speech_started(packet) for packet in [loud] * 5 + [silent] + [loud] * 9] == [False] * 13 + [
        True,
        False,
    ]
    assert not detector.speech_started(b"")
