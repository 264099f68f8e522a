"""Reading of the language files."""

from pathlib import Path

import pytest

from sayline_tts.engine.text.normalization import language_data
from sayline_tts.engine.text.normalization.language_data import available_languages, load_language


def test_unknown_key_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zz.yaml").write_text("wrods: {}\n")
    monkeypatch.setattr(language_data, "_FOLDER", tmp_path)
    for cached in (available_languages, load_language):
        cached.cache_clear()
    with pytest.raises(ValueError, match="unknown key 'wrods'"):
        load_language("zz")
    for cached in (available_languages, load_language):
        cached.cache_clear()


def test_path_as_language_code_opens_no_file() -> None:
    assert load_language("../../catalogue").is_empty
