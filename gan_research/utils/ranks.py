"""The variables by which torchrun, srun and gan train tell a process its rank."""

from collections.abc import Mapping

from gan_research.utils.errors import UserError

RANKS = {"RANK": "0", "LOCAL_RANK": "0"}
"""The variables of ranks -> their values without a group."""

ADVICE = "start all processes by torchrun or srun, or unset RANK, LOCAL_RANK and WORLD_SIZE to start one"


def require_ranks(environment: Mapping[str, str]) -> None:
    """Raise a UserError if the variables aren't those of a process of a group; that none is set is fine."""
    numbers = {name: environment.get(name, least) for name, least in (("WORLD_SIZE", "1"), *RANKS.items())}
    for name, text in numbers.items():
        if not (text.isascii() and text.isdecimal()) or (name == "WORLD_SIZE" and int(text) == 0):
            raise UserError(f"{name}={text} is set, which isn't a number of processes or a rank: {ADVICE}")
    size = numbers["WORLD_SIZE"]
    for name in RANKS:
        if int(numbers[name]) >= int(size):
            raise UserError(f"{name}={numbers[name]} is set, which isn't below WORLD_SIZE={size}: {ADVICE}")
    missing = [name for name in (*RANKS, "MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
    if int(size) > 1 and missing:
        raise UserError(f"WORLD_SIZE={size} is set, and {missing[0]} isn't: {ADVICE}")
    if int(size) > 1:
        require_port(environment["MASTER_PORT"])


def require_port(text: str) -> None:
    """Raise a UserError if MASTER_PORT isn't the number of a port."""
    if not (text.isascii() and text.isdecimal() and int(text) < 2**16):
        raise UserError(f"MASTER_PORT={text} is no port: give a number below {2**16}, or unset it")
