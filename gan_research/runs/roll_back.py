"""Rolling a diverged run back to its last good checkpoint, to continue with other latents."""

from contextlib import suppress
from pathlib import Path

from gan_research.checkpoints.io import MARK, AtomicCheckpointIO, open_checkpoint
from gan_research.distributed import on_rank_zero
from gan_research.utils.files import link
from gan_research.utils.run_folder import CHECKPOINTS, LAST


def roll_back(run: Path, crash: Path | None) -> tuple[int, int]:
    """Count a roll-back in the last good checkpoint; return its round, and the count.

    The count is in the checkpoint, so that a run killed right after resumes as if it hadn't been. The checkpoint as it
    was is kept next to the `crash` report, whose round can be trained again from it.
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
