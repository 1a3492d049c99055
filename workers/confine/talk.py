"""A confined program that is kept, and answers line by line: where a new one for each question would take
longer than the answers. It has the time that its bounds give it for all of them together.
"""

from __future__ import annotations

import os
import selectors
import time
from contextlib import ExitStack
from typing import Final

from workers.confine.run import (
    Bounds,
    Command,
    ToolLost,
    ToolTimedOut,
    ToolTooBig,
    ended_by,
    judge,
    prepared,
    start,
)

_LONGEST: Final = (4 << 20) + 1  # bytes of one answer


class Talk:
    """One such program, from its start to its end. Not safe for threads.

    Raises as `run` does, at the start and when the program does not answer any more; it has ended then.
    """

    def __init__(self, command: Command, bounds: Bounds) -> None:
        self._command, self._bounds = command, bounds
        self._heard = bytearray()
        told, _, _ = prepared(command, bounds)
        with ExitStack() as stack:
            questions, self._asks = os.pipe()
            stack.callback(os.close, self._asks)
            try:
                self._keeper, self._report = start(told, questions, stack)
            finally:
                os.close(questions)
            assert self._keeper.stdout is not None
            self._answers = self._keeper.stdout.fileno()
            self._ends = stack.pop_all()

    def ask(self, question: bytes, seconds: float) -> bytes:
        """The line that it answers to the line `question`. Raises ToolTimedOut when that takes longer."""
        until = time.monotonic() + seconds
        try:
            left = memoryview(question + b"\n")
            while left:
                left = left[os.write(self._asks, left) :]
        except BrokenPipeError:
            pass  # how it has ended is heard below
        with selectors.DefaultSelector() as ends:
            ends.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._heard:
                if not ends.select(max(until - time.monotonic(), 0)):
                    self.close()
                    raise ToolTimedOut(f"no answer within {seconds:g} s")
                chunk = os.read(self._answers, 1 << 16)
                if not chunk:
                    raise self._ended()
                self._heard += chunk
                if len(self._heard) > _LONGEST:
                    self.close()
                    raise ToolTooBig(f"an answer has more than {_LONGEST >> 20} MiB")
        answer, _, self._heard = self._heard.partition(b"\n")
        return bytes(answer)

    def close(self) -> None:
        """End it, and all that it has started."""
        self._ends.close()

    def _ended(self) -> Exception:
        report = bytearray()
        while chunk := os.read(self._report, 1 << 12):
            report += chunk
        try:
            judge(self._command, self._bounds, ended_by(self._keeper, report, b"", b"", ""), bytes.decode)
        except Exception as error:
            return error
        finally:
            self.close()
        return ToolLost("it has ended by itself; try again")
