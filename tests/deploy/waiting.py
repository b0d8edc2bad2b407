"""Waiting for what another process does: for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# So long that only something that will not come takes it, on a machine that is busy with other things too.
DEADLINE_SECONDS = 60.0
INTERVAL_SECONDS = 0.1


def until(what: str, condition: Callable[[], T], deadline: float = DEADLINE_SECONDS) -> T:
    """What `condition` returns once that is true. `what` says in the failure what did not come."""
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:.0f} s: {what}; last seen: {found!r}")
        time.sleep(INTERVAL_SECONDS)
