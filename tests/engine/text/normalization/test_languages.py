"""Normalization in the available_languages of the published models."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.checkpoint.catalogue import variant_names
from sayline_tts.engine.text.normalization.language_data import LanguageData, available_languages, load_language
from sayline_tts.engine.text.normalization.normalizer import language_code
from tests.engine.text.texts import ANY_TEXT, check_offsets, read, split_at, spoken


@pytest.mark.parametrize(
    ("language", "written", "expected"),
    [
        (
            "de",
            "Das kostet 3,50 € am 2024-05-01 um 14:30 Uhr.",
            "Das kostet drei Euro und fünfzig Cent am ersten Mai zweitausendvierundzwanzig um vierzehn Uhr dreißig.",
        ),
        ("de", "Am 3. Mai kam Dr. Müller.", "Am dritten Mai kam Doktor Müller."),
        ("de", "z.B. 1.234,5 km", "zum Beispiel eintausendzweihundertvierunddreißig Komma fünf Kilometer"),
        ("de", "50 % von 5 Mio. Euro", "fünfzig Prozent von fünf Millionen Euro"),
        ("de", "1/2 und 3D", "ein halb und drei D"),
        (
            "fr",
            "Cela coûte 3,50 € le 1er mai à 14h30.",
            "Cela coûte trois euros et cinquante centimes le premier mai à quatorze heures trente.",
        ),
        ("fr", "M. Dupont a 1 000 amis", "Monsieur Dupont a mille amis"),
        ("fr", "12,5 % et 20 °C", "douze virgule cinq pour cent et vingt degrés Celsius"),
        (
            "es",
            "Cuesta 3,50 € el 3 de mayo a las 14:30.",
            "Cuesta tres euros con cincuenta céntimos el tres de mayo a las catorce y treinta.",
        ),
        ("es", "El Sr. López, 50% y 1.000 km", "El Señor López, cincuenta por ciento y mil kilómetros"),
        (
            "it",
            "Costa 3,50 € il 3 maggio alle 14:30.",
            "Costa tre euro e cinquanta centesimi il tre maggio alle quattordici e trenta.",
        ),
        ("pt", "Custa R$ 3,50 e 1.000 km", "Custa três reais e cinquenta centavos e mil quilómetros"),
        ("nl", "Dhr. Jansen om 14:30, 50%", "De heer Jansen om veertien uur dertig, vijftig procent"),
        ("sv", "Det är 5 **km**", "Det är fem km"),
        ("xx", "It is 5 **km**", "It is 5 km"),
    ],
)
def test_text_is_verbalized_in_its_language(language: str, written: str, expected: str) -> None:
    assert spoken(written, language=language) == [expected]


@pytest.mark.parametrize("language", available_languages())
def test_language_files_cover_common_text(language: str) -> None:
    data = load_language(language)
    for name in ("point", "dot", "at", "slash", "percent", "to", "per", "number", "plus", "minus"):
        assert data.word(name)
    assert len(data.months.split()) == 12
    assert {"$", "€", "£"} <= data.currencies.keys()
    assert {"km", "kg", "%", "°C", "km/h"} <= data.units.keys()
    assert all(len(words) in (2, 4) for words in data.currencies.values())
    for written in ("1,5", "50%", "20 °C", "$5", "2024-05-01", "14:30", "3-4", "x^2", "a@b.de", "-5", "1/2", "10:00"):
        assert not any(map(str.isdigit, str(spoken(written, language=language))))


def test_language_names_and_tags_map_to_codes() -> None:
    assert [language_code(name) for name in ("en", "en-US", "pt_BR", "english", "german_24l")] == [
        "en",
        "en",
        "pt",
        "en",
        "de",
    ]


def test_every_published_model_has_a_language_file() -> None:
    assert {language_code(variant) for variant in variant_names()} == set(available_languages())


def test_language_without_a_file_has_empty_data() -> None:
    assert load_language("xx") == LanguageData()


@settings(deadline=None)
@given(ANY_TEXT, st.sampled_from([*available_languages(), "sv", "ja", "xx"]), st.lists(st.integers(0, 120), max_size=4))
def test_any_text_is_read_in_any_language(text: str, language: str, splits: list[int]) -> None:
    items = read(text, language=language)
    check_offsets(text, items)
    assert read(*split_at(text, splits), language=language) == items
