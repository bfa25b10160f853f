"""The tree at the head of errors.py is the tree in the code."""

from __future__ import annotations

import inspect
import re

from penstock.core import errors


def test_the_picture_names_every_error_with_its_status() -> None:
    drawn = dict(re.findall(r"(?:├──|└──) (\w+)\s+(\d{3})?", errors.__doc__ or ""))
    classes = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.PenstockError) and kind is not errors.PenstockError
    }

    assert set(drawn) == set(classes)
    for name, status in drawn.items():
        if status:
            assert classes[name].status == int(status), name
