"""JSON behind a checksum, to stand where Prefect takes a JSON library: one wrong letter often leaves valid JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def dumps(value: Any, **options: Any) -> str:
    """Return a value as JSON text, preceded by the text's SHA-256.

    Args:
        value: What `json.dumps` can write.
        options: Options of `json.dumps`.
    """
    text = json.dumps(value, **options)
    return f"{_digest(text)} {text}"


def loads(text: str, **options: Any) -> Any:
    """Return the value of a text that `dumps` wrote, after verifying its SHA-256.

    Args:
        text: The SHA-256 and the JSON.
        options: Options of `json.loads`.

    Raises:
        ValueError: If the text is not the one that was written.

    Example:
        >>> loads(dumps({"width": 14}))
        {'width': 14}
        >>> loads(dumps({"width": 14}).replace("14", "15"))
        Traceback (most recent call last):
        ValueError: the record was changed after it was written
    """
    digest, _, content = text.partition(" ")
    if _digest(content) != digest:
        message = "the record was changed after it was written"
        raise ValueError(message)
    return json.loads(content, **options)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
