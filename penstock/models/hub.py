"""The model hub: its cache on this machine, and downloads that fail quickly and never fetch a pickle."""

from __future__ import annotations

from pathlib import Path

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from penstock.models.locate import COMPANIONS, WEIGHTS


class Unreachable(Exception):
    """The hub did not give the model; the message says why, in words that follow 'and'."""


def cached_folder(model: str, *, revision: str | None) -> Path | None:
    """The snapshot of an earlier download, when it has weights in a form we read."""
    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except ValueError:  # not a possible name of a repository
        return None
    usable = any((folder / place).is_file() for places in WEIGHTS.values() for place in places)
    return folder if usable and (folder / "tokenizer.json").is_file() else None


def download(model: str, *, revision: str | None, connect_timeout_s: float) -> Path:
    """Fetch the model's files into the hub's cache. Raises Unreachable."""
    try:
        listing = HfApi().model_info(model, revision=revision, timeout=connect_timeout_s)
        names = [item.rfilename for item in listing.siblings or []]
        wanted = [*COMPANIONS, *_weights_of(names)]
        # The commit that was listed, so that a push in between cannot mix two versions.
        return Path(
            snapshot_download(model, revision=listing.sha, allow_patterns=wanted, etag_timeout=connect_timeout_s)
        )
    except OfflineModeIsEnabled as error:
        raise Unreachable("HF_HUB_OFFLINE forbids the network") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise Unreachable(f"the hub answered {status} (a wrong name, or a model that needs a token)") from error
    except (httpx2.HTTPError, OSError, LocalEntryNotFoundError) as error:
        raise Unreachable(f"the hub cannot be reached ({type(error).__name__})") from error
    except ValueError as error:
        raise Unreachable(f"it is not a name on the hub ({error})") from error


def _weights_of(names: list[str]) -> list[str]:
    """The files of the first form that the repository has; with an IR or ONNX file goes the data beside it."""
    for places in WEIGHTS.values():
        for place in places:
            if place in names:
                if place.endswith(".xml"):
                    return [place, place.removesuffix(".xml") + ".bin"]
                return [place, place + "_data"] if place.endswith(".onnx") else [place]
    raise Unreachable("the hub's copy has no safetensors, OpenVINO or ONNX file")
