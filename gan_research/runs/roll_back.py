"""Back to the last good checkpoint of a run, and on with other latents."""

from contextlib import suppress
from pathlib import Path

from gan_research.callbacks.checkpoint import link
from gan_research.checkpoints.io import MARK, AtomicCheckpointIO, open_checkpoint
from gan_research.distributed import on_rank_zero
from gan_research.utils.run_folder import CHECKPOINTS, LAST


def go_back(run: Path, crash: Path | None) -> tuple[int, int]:
    """Count one more roll-back in the last good checkpoint, from which the run then goes on: its round, and the count.

    Counted there, a run that is killed right after goes on as if it hadn't been. What the checkpoint was lies beside
    the record of the `crash`, which can be played again from it.
    """

    def count() -> tuple[int, int]:
        checkpoint, content = open_checkpoint(run)
        if crash is not None:
            with suppress(OSError):
                link(checkpoint, crash.with_suffix(".ckpt"))
        game = content[MARK]
        game["roll_backs"] = game.get("roll_backs", 0) + 1
        AtomicCheckpointIO().save_checkpoint(content, run / CHECKPOINTS / LAST)
        return game["round"], game["roll_backs"]

    return on_rank_zero(count)
