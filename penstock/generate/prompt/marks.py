"""The delimiter between passages: unguessable to a document's author, and the same from prompt to prompt.

It is a keyed hash of the tenant, so it differs between deployments and between tenants, and a prompt's beginning stays
equal within a tenant, which a delimiter for each request would destroy. That it stands at the head also keeps tenants
from sharing a prefix in an engine's cache, so that one cannot time another's. Weakness: whoever sees a raw prompt of
the tenant knows its delimiter until the key changes; therefore passages are searched for it, and so are answers.
"""

from __future__ import annotations

import hashlib

MARK_BYTES = 9


def mark_of(tenant: str, *, key: bytes) -> str:
    """The tenant's delimiter."""
    return "#" + hashlib.blake2b(tenant.encode(), key=key[:64], digest_size=MARK_BYTES).hexdigest()


def without(mark: str, text: str) -> str:
    """`text` in which the delimiter does not occur, whatever was nested in it."""
    while mark in text:
        text = text.replace(mark, "")
    return text
