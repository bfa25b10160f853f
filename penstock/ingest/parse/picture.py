"""PNG, JPEG, TIFF, WebP and BMP: pictures of text, a page each."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING

from penstock.core.errors import BadDocument
from penstock.ingest.parse.layout import arrange
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import Bitmap, fitting_scale
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.pages import write_pages

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1}
"""Once it is unpacked; 4 in all other modes."""
LONG_SIDE_POINTS = 842.0
"""A picture is taken for a page of A4: what it says of its resolution is mostly that of a screen."""
DAMAGE = (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, struct.error, zlib.error)
"""What Pillow's decoders raise on damaged files."""


def read_picture(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    ocr = outline.ocr
    if ocr is None:
        raise BadDocument("no_text", 'It is a picture. To have its text read, set ingest.ocr to "scans".')
    image = _opened(content)
    frames = _frames(image)
    ocr.require(frames)
    pages = [
        arrange(ocr.words(partial(_bitmap, image, frame, limits)), frame + 1 if frames > 1 else 0)
        for frame in range(frames)
    ]
    if not any(pages):
        raise BadDocument("no_text", "No text was recognised in it.")
    write_pages(pages, outline)


def _opened(content: bytes) -> Image.Image:
    """Only its head is read yet. Raises BadDocument."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - of an extra

    Image.MAX_IMAGE_PIXELS = None  # it would warn; what a picture may unpack to is checked in _bitmap
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _damaged("its head cannot be read") from error
    except DAMAGE as error:
        raise _damaged(error) from error


def _frames(image: Image.Image) -> int:
    """Pages of a TIFF; of an animation only the first picture is read. Raises BadDocument."""
    try:
        return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    except DAMAGE as error:
        raise _damaged(error) from error


def _bitmap(image: Image.Image, frame: int, limits: ParseLimits) -> Bitmap:
    """Raises BadDocument, before anything is unpacked that is too large."""
    from PIL import ImageOps  # noqa: PLC0415 - of an extra

    try:
        image.seek(frame)
        scale = fitting_scale(*image.size, 1.0)
        fitting = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        # A JPEG unpacks in grey, and in half or a quarter of its size, at once.
        image.draft("L", fitting)
        size_bytes = image.width * image.height * BYTES_PER_PIXEL.get(image.mode, 4)
        if size_bytes > limits.max_member_bytes:
            raise BadDocument(
                "too_large", f"A picture of {image.width:,} x {image.height:,} pixels unpacks to too many bytes."
            )
        grey = _grey(image)
        if grey.size != fitting:
            grey = grey.resize(fitting, reducing_gap=2.0)
        grey = ImageOps.exif_transpose(grey)
    except DAMAGE as error:
        raise _damaged(error) from error
    return Bitmap(
        pixels=grey.tobytes(),
        width=grey.width,
        height=grey.height,
        stride_bytes=grey.width,
        points_per_pixel=LONG_SIDE_POINTS / max(grey.size),
    )


def _grey(image: Image.Image) -> Image.Image:
    """What is transparent is white, as on paper."""
    from PIL import Image  # noqa: PLC0415 - of an extra

    if image.mode == "L":
        return image
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L")  # else all but black becomes white
    if not image.has_transparency_data:
        return image.convert("L")
    colours = image.convert("RGBA")
    paper = Image.new("L", image.size, 255)
    paper.paste(colours.convert("L"), mask=colours.getchannel("A"))
    return paper


def _damaged(why: Exception | str) -> BadDocument:
    return BadDocument("corrupt", f"It is a damaged picture: {str(why)[:200]}.")
