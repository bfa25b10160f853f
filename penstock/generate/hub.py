"""Where a model's files are: a local folder, else the hub's cache, else a download."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from penstock.core.errors import ModelMissing

# Data only: no scripts and no pickled weights come along.
FILES = ["*.json", "*.xml", "*.bin", "*.jinja", "*.txt"]


def locate(source: str) -> Path:
    """The folder of `source`. Raises ModelMissing that says what to do."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(source, allow_patterns=FILES))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise ModelMissing(
            f"No model '{source}': it is no folder, it is not in the hub's cache, and it cannot be downloaded. "
            "Give a folder with an OpenVINO export, or a name on the hub, or allow access to the hub."
        ) from error
