"""The schedule runs the sweeper. Late in the order, so that a minute has passed already."""

from stack import Stack
from waiting import until


def test_sweeps_come_that_nobody_asked_for(stack: Stack) -> None:
    def unasked() -> bool:
        return sum(line.startswith("START ") for line in stack.log("sweeper")) > stack.sweeps

    # Once a minute, and the emulator looks every ten seconds.
    until("a sweep by the schedule", unasked, deadline=150)
