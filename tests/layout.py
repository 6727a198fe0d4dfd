"""Faults of a figure's layout: texts that overlap or are cut off, and legends over data."""

import itertools
from unittest import mock

from matplotlib.legend import Legend
from matplotlib.text import Text


def faults(figure):
    """What is wrong, a line for each fault; by the geometry that Matplotlib draws."""
    texts = drawn_texts(figure)
    found = [f"{a!r} over {b!r}" for (a, one), (b, other) in itertools.combinations(texts, 2) if one.overlaps(other)]
    found += [f"{text!r} is cut off" for text, box in texts if not contains(figure.bbox.padded(1), box)]
    for legend in figure.findobj(Legend):
        for axes in figure.axes:
            lines = [line for line in axes.get_lines() if over(legend.get_window_extent(), axes, line)]
            found += [f"a legend over {line.get_label()!r}" for line in lines]
    return found


def drawn_texts(figure):
    """Each text that is drawn, with its box, a pixel smaller all around."""
    texts, draw = [], Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            texts.append((text.get_text(), Text.get_window_extent(text, renderer).padded(-1)))
        draw(text, renderer)

    with mock.patch.object(Text, "draw", record):
        figure.draw_without_rendering()
    return texts


def contains(outer, inner):
    return outer.x0 <= inner.x0 and outer.y0 <= inner.y0 and inner.x1 <= outer.x1 and inner.y1 <= outer.y1


def over(box, axes, line):
    """True if a box covers a part of a line that is seen in axes of two dimensions."""
    if axes.name != "rectilinear" or not line.get_visible():
        return False
    path = line.get_transform().transform_path(line.get_path()).clip_to_bbox(axes.bbox)
    return len(path.vertices) > 0 and path.intersects_bbox(box, filled=False)
