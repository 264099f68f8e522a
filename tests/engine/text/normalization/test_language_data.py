"""engine/text/normalization/language_data.py: what a language's file may say."""

from pathlib import Path

import pytest

from sayline_tts.engine.text.normalization import language_data
from sayline_tts.engine.text.normalization.language_data import languages, table_of


def test_a_key_that_means_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zz.yaml").write_text("wrods: {}\n")
    monkeypatch.setattr(language_data, "_FOLDER", tmp_path)
    for cached in (languages, table_of):
        cached.cache_clear()
    with pytest.raises(ValueError, match="unknown key 'wrods'"):
        table_of("zz")
    for cached in (languages, table_of):
        cached.cache_clear()


def test_a_name_that_is_no_language_opens_no_file() -> None:
    assert table_of("../../catalogue").is_empty
