"""engine/text/normalization/languages: what is said in the languages of the published models."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.checkpoint.catalogue import variant_names
from sayline_tts.engine.text.normalization.language_data import Table, languages, table_of
from sayline_tts.engine.text.normalization.normalizer import code_of
from tests.engine.text.texts import ANYTHING, check_offsets, cut_up, read, spoken


@pytest.mark.parametrize(
    ("language", "written", "said"),
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
def test_each_language_says_it_in_its_own_words(language: str, written: str, said: str) -> None:
    assert spoken(written, language=language) == [said]


@pytest.mark.parametrize("language", languages())
def test_a_language_has_words_for_what_every_text_has(language: str) -> None:
    table = table_of(language)
    for name in ("point", "dot", "at", "slash", "percent", "to", "per", "number", "plus", "minus"):
        assert table.word(name)
    assert len(table.months.split()) == 12
    assert {"$", "€", "£"} <= table.currencies.keys()
    assert {"km", "kg", "%", "°C", "km/h"} <= table.units.keys()
    assert all(len(words) in (2, 4) for words in table.currencies.values())
    for written in ("1,5", "50%", "20 °C", "$5", "2024-05-01", "14:30", "3-4", "x^2", "a@b.de", "-5", "1/2", "10:00"):
        assert not any(map(str.isdigit, str(spoken(written, language=language))))


def test_languages_go_by_many_names() -> None:
    assert [code_of(name) for name in ("en", "en-US", "pt_BR", "english", "german_24l")] == [
        "en",
        "en",
        "pt",
        "en",
        "de",
    ]


def test_every_published_model_has_a_table_of_its_language() -> None:
    assert {code_of(variant) for variant in variant_names()} == set(languages())


def test_a_language_that_no_file_tells_about_has_an_empty_table() -> None:
    assert table_of("xx") == Table()


@settings(deadline=None)
@given(ANYTHING, st.sampled_from([*languages(), "sv", "ja", "xx"]), st.lists(st.integers(0, 120), max_size=4))
def test_any_text_can_be_read_in_any_language(text: str, language: str, cuts: list[int]) -> None:
    items = read(text, language=language)
    check_offsets(text, items)
    assert read(*cut_up(text, cuts), language=language) == items
