"""Answers as JSON: what is not finite is null, arrays are lists or packed."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, np.ndarray):
        return numbers(value) if value.dtype.kind in "fiub" else [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, str | int | bool) or value is None:
        return value
    return str(value) if isinstance(value, Path) else repr(value)


def numbers(values: Any) -> list[Any]:
    """Numbers as a list, null where they are not finite."""
    array = np.asarray(values)
    found = array.tolist()
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        return plain(found)
    return found


def packed(values: Any) -> str:
    """Many numbers as little-endian float32 in base64, for pictures, which need no more."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")


def shades(values: Any) -> tuple[str, float]:
    """Numbers from 0 to their largest as bytes in base64, and the largest."""
    array = np.nan_to_num(np.asarray(values, float), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(array.max()) if array.size else 0.0
    scaled = np.clip(np.round(255.0 * array / (top or 1.0)), 0, 255).astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode("ascii"), top


def encoded(answer: Any) -> bytes:
    """An answer as bytes."""
    return json.dumps(plain(answer), allow_nan=False, separators=(",", ":")).encode()
