"""Work for the newest request: while a slider is dragged, older ones are left out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Runs all stages for the newest request, one at a time; a newer request ends the work after its stage.

    stages: the most urgent first. A request that is replaced before its first stage costs nothing.
    """

    def __init__(self, stages: Sequence[Callable[[T], Awaitable[None]]]) -> None:
        self._stages = stages
        self._waiting: list[T] = []  # at most one
        self._task: asyncio.Task[None] | None = None

    def request(self, value: T) -> None:
        """Replace the waiting request, and start the work unless it is running."""
        self._waiting = [value]
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            value = self._waiting.pop()
            for stage in self._stages:
                await stage(value)
                if self._waiting:
                    break
