"""Reading tensors, and the errors for malformed files."""

import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sayline_tts.engine.checkpoint.safetensors_reader import read_tensors
from sayline_tts.engine.errors import CheckpointError


def test_floats_are_read_as_float32_and_integers_unchanged(tmp_path: Path) -> None:
    values = torch.tensor([[0.5, -2.0]])
    kinds = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    save_file({str(kind): values.to(kind) for kind in kinds} | {"n": torch.tensor([7])}, tmp_path / "a")
    tensors = read_tensors(tmp_path / "a")
    assert all(torch.equal(tensors[str(kind)], values) for kind in kinds)
    assert tensors["n"].dtype == torch.int64


def test_tensors_are_independent_of_the_file(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1000)}, tmp_path / "a")
    tensors = read_tensors(tmp_path / "a")
    with (tmp_path / "a").open("r+b") as file:
        file.seek(200)
        file.write(bytes(400))
    assert torch.equal(tensors["a"], torch.ones(1000))


WHOLE = struct.pack("<Q", 64) + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'.ljust(64) + bytes(16)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "the file is empty; download or export it again"),
        (b"abc", "not a safetensors file, or truncated within its header"),
        (WHOLE[:20], "truncated within its header"),
        (WHOLE[:-1], "87 bytes does not match its header; download or copy it again"),
        (WHOLE + b"x", "89 bytes does not match its header"),
        (b"<!doctype html><p>Not found</p>" * 9, "not a safetensors file"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(99), "not a safetensors file"),
        (struct.pack("<Q", 1 << 63) + b"{}", "which claims 9223372036854775808 bytes of 10"),
        (struct.pack("<Q", 9999) + b"[" * 9999, "not a safetensors file"),
        (struct.pack("<Q", 2) + b"\xff\xff", "not a safetensors file"),
        (WHOLE.replace(b"[4]", b"[5]"), "not a usable safetensors file"),
        (WHOLE.replace(b"F32", b"X32"), "not a safetensors file"),
        (WHOLE.replace(b"[4]", b"[99999999999999999999]"), "not a safetensors file"),
    ],
)
def test_malformed_file_is_explained(tmp_path: Path, data: bytes, fault: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=f"x.safetensors: .*{fault}"):
        read_tensors(tmp_path / "x.safetensors")


def test_unreadable_file_is_explained(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(CheckpointError, match=r"cannot be read .*; check the path"):
            read_tensors(path)
