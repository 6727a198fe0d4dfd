"""The shape, range and classes of samples, for networks."""

from dataclasses import dataclass

from gan_research.utils.errors import require


@dataclass(frozen=True)
class SampleSpec:
    """Samples of one shape: images (channels, resolution, resolution), or points (channels,) if `resolution` is None.

    num_classes: of the labels; 0 if there are none.
    value_range: the least and the largest value; (-inf, inf) for any.
    """

    resolution: int | None
    channels: int
    num_classes: int = 0
    value_range: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        require(1, channels=self.channels, **({} if self.resolution is None else {"resolution": self.resolution}))
        require(0, num_classes=self.num_classes)
        low, high = self.value_range
        object.__setattr__(self, "value_range", (float(low), float(high)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return (self.channels,) if self.resolution is None else (self.channels, self.resolution, self.resolution)
