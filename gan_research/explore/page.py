"""The page of `gan explore`, drawn by NiceGUI: controls that change a `View`, and its images."""

import asyncio
import base64
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Any, get_args

from nicegui import ui
from torch import Tensor

from gan_research.explore.explorer import Explorer
from gan_research.explore.latest import Latest
from gan_research.explore.neighbours import Neighbours
from gan_research.explore.view import Place, View
from gan_research.sampling.layer_noise import Kind
from gan_research.utils.errors import UserError
from gan_research.utils.images import grid, png

SHEET = 16  # samples in the sheet
STRIP = 9  # images from one end of an interpolation to the other
NEAREST = 8  # real images
DIRECTIONS = 8  # sliders
FARTHEST = 5.0  # the largest step along a direction
WIDEST = 3.0  # the largest threshold of Gaussian latents; beyond it the slider means the whole prior
SMALL = 128  # the pixels a side below which images are shown without smoothing
IN_TURN = -1  # the choice of a class that depends on the sample's number
SEEDS = 100_000  # of the button that draws one


class Page:
    """A view of a generator in one browser, with its elements."""

    def __init__(self, explorer: Explorer, neighbours: Neighbours, name: str) -> None:
        self.explorer, self.neighbours, self.name = explorer, neighbours, name
        self.view = View()
        self.work = Latest([self.show_image, self.show_strip, self.show_sheet, self.show_nearest])
        self.num_classes = explorer.sampler.num_classes
        self.classes = {label: str(label) for label in range(self.num_classes)}
        self.image: Tensor | None = None
        self.shown: dict[str, View] = {}

    def build(self) -> None:
        """Create the elements, and show the first view."""
        ui.add_css(files(__package__).joinpath("page.css").read_text(encoding="utf-8"))
        with box("explore"):
            with box(tag="header"):
                text(self.name, tag="h1")
                text(self.explorer.description, "faint")
            with box("stack controls"):
                self._build_sample()
                self._build_truncation()
                self._build_interpolation()
                self._build_directions()
            with box("stack shown"):
                with box("images"):
                    self._build_image()
                    self._build_sheet()
                self._build_strip()
                self._build_nearest()
        ui.timer(0, self._begin, once=True)

    async def _begin(self) -> None:
        self.work.request(self.view)
        if self.num_classes:
            await self._name_classes()

    def change(self, **fields: Any) -> None:
        """Change fields of the view, and show it."""
        self.view = replace(self.view, **fields)
        self.work.request(self.view)

    # The controls

    def _build_sample(self) -> None:
        with section("Sample"):
            with box("bar tight"):
                self.seed = whole("Seed", 0, lambda seed: self._move("place", seed=seed)).classes("grow")
                self.number = whole("Number", 0, lambda number: self._move("place", number=number)).classes("grow")
                button("casino", "another seed", lambda: self.seed.set_value(secrets.randbelow(SEEDS)))
            self.choices = [self._class_choice("place")] if self.num_classes else []

    def _build_truncation(self) -> None:
        explorer = self.explorer
        with section("Truncation"):
            if explorer.can_truncate:
                bound = explorer.sampler.prior.bound
                self._slider_of_truncation(WIDEST if math.isinf(bound) else bound)
            if explorer.layers:
                slider("psi", -1, 1.5, 0.01, 1, lambda psi: self.change(psi=psi), "{:.2f}")
                layers = partial(slider, "layers", 1, explorer.layers, 1, explorer.layers)
                layers(lambda cutoff: self.change(cutoff=int(cutoff)), "{:.0f}")
                text("psi moves w of the first layers towards its mean (1: no change)", "faint")
            if explorer.has_noise:
                with box("bar tight"):
                    text("noise", "name")
                    noise = ui.toggle([*get_args(Kind)], value="random", on_change=lambda e: self.change(noise=e.value))
                    noise.props("dense no-caps unelevated").tooltip("inside the layers")

    def _slider_of_truncation(self, bound: float) -> None:
        step = bound / 60

        def change(value: float) -> None:
            self.change(truncation=None if value > bound - step / 2 else value)

        slider("T", step, bound, step, bound, change, "{:.2f}", {bound: "∞"})
        text("latents within [-T, T] (∞: the whole prior)", "faint")

    def _build_interpolation(self) -> None:
        with section("Interpolation"):
            with box("bar tight"):
                whole("to seed", 1, lambda seed: self._move("end", seed=seed)).classes("grow")
                whole("Number", 0, lambda number: self._move("end", number=number)).classes("grow")
            if self.num_classes:
                self.choices.append(self._class_choice("end"))
            self.position = slider("way", 0, 1, 0.01, 0, lambda way: self.change(position=way), "{:.2f}", key="way")

    def _build_directions(self) -> None:
        sigmas = self.explorer.directions[0][:DIRECTIONS].tolist()
        if not sigmas:
            return
        self.moves: list[Any] = []
        with section("Directions (SeFa)") as made:
            with made.head:
                button("restart_alt", "all to 0", lambda: [move.set_value(0) for move in self.moves], "right")
            for i, sigma in enumerate(sigmas):
                change = partial(self._step, i)
                name = f"{i + 1}: \N{GREEK SMALL LETTER SIGMA} {sigma:.3g}"
                move = slider(name, -FARTHEST, FARTHEST, 0.1, 0, change, "{:+.1f}", key=f"direction-{i + 1}")
                self.moves.append(move.props("selection-color=transparent"))

    def _step(self, index: int, value: float) -> None:
        moves = [*self.view.moves, *[0.0] * (index + 1 - len(self.view.moves))]
        moves[index] = value
        self.change(moves=tuple(moves))

    def _move(self, end: str, **fields: Any) -> None:
        self.change(**{end: replace(getattr(self.view, end), **fields)})

    def _class_choice(self, end: str) -> Any:
        def change(event: Any) -> None:
            self._move(end, label=None if event.value == IN_TURN else event.value)

        options = {IN_TURN: "in turn"} | self.classes
        return ui.select(options, label="Class", value=IN_TURN, on_change=change).props("dense options-dense outlined")

    async def _name_classes(self) -> None:
        """Show the labels of classes, if the data are there."""
        try:
            reals = await asyncio.to_thread(lambda: self.neighbours.reals)
        except UserError:
            return
        if len(reals.classes) == self.num_classes:
            self.classes = {i: str(label) for i, label in enumerate(reals.classes)}
            for choice in self.choices:
                choice.set_options({IN_TURN: "in turn"} | self.classes)
            self.work.request(self.view)

    # The images

    def _build_image(self) -> None:
        with section("Image").classes("image"):
            self.main = image_of("main", self.explorer.shape, "the image of these settings")
            self.caption = text("", "faint")
            with box("bar"):
                save = ui.button("Save PNG", icon="download", on_click=self.save).props("dense no-caps unelevated")
                save.classes("save")
                button("grid_view", "save the sheet as PNG", self.save_sheet)

    def _build_sheet(self) -> None:
        with section("Samples of this seed") as made:
            with made.head:
                button("chevron_left", "previous samples", partial(self._turn, -SHEET), "right")
                button("chevron_right", "next samples", partial(self._turn, SHEET))
            with box("sheet"):
                self.sheet = [self._pick(partial(self._choose, i)) for i in range(SHEET)]

    def _build_strip(self) -> None:
        with section("From the sample to the other end"), box("strip"):
            ways = [i / (STRIP - 1) for i in range(STRIP)]
            self.strip = [self._pick(partial(self.position.set_value, way)) for way in ways]

    def _build_nearest(self) -> None:
        with section("Nearest real images") as made:
            with made.head:
                self.nearest = ui.switch(value=False, on_change=lambda: self.work.request(self.view))
                self.nearest.props("dense").classes("right nearest")
            with box("reals") as self.found:
                self.reals, self.captions = zip(*(real(self.explorer.shape) for _ in range(NEAREST)), strict=True)
            self.note = text("compares the image with those of training, in the features of the run's metrics", "faint")

    def _pick(self, act: Callable[[], Any]) -> Any:
        with box("pick", tag="button").props("type=button").on("click", act):
            return image_of("", self.explorer.shape, "")

    def _first(self) -> int:
        return self.view.place.number // SHEET * SHEET

    def _turn(self, by: int) -> None:
        self.number.set_value(max(0, self.view.place.number + by))

    def _choose(self, index: int) -> None:
        self.position.set_value(0)
        self.number.set_value(self._first() + index)

    async def show_image(self, view: View) -> None:
        """Show the image of the view, and its place in words."""
        (self.image,) = await asyncio.to_thread(self.explorer.images, view)
        assert self.image is not None
        show(self.main, self.image)
        place = self.described(view.place)
        self.caption.set_text(
            place if not view.position else f"{place} → {self.described(view.end)}, {view.position:.2f}"
        )

    async def show_strip(self, view: View) -> None:
        """Show the way of the interpolation."""
        if self._is_new("strip", view := replace(view, position=0.0)):
            show_all(self.strip, await asyncio.to_thread(self.explorer.path, view, STRIP))

    async def show_sheet(self, view: View) -> None:
        """Show samples of the seed, changed as the image is, but without interpolation."""
        for i, element in enumerate(self.sheet):
            chosen = self._first() + i == view.place.number
            element.parent_slot.parent.classes(**{"add" if chosen else "remove": "chosen"})
        if self._is_new("sheet", view := self._sheet(view)):
            show_all(self.sheet, await asyncio.to_thread(self.explorer.images, view, SHEET))

    def _sheet(self, view: View) -> View:
        """Return the view of the sheet's first sample."""
        return replace(view, place=replace(view.place, number=self._first()), end=Place(), position=0.0)

    def _is_new(self, part: str, view: View) -> bool:
        """Return whether a part of the page shows another view, and note this one."""
        before, self.shown[part] = self.shown.get(part), view
        return before != view

    async def show_nearest(self, view: View) -> None:
        """Show the real images that are nearest to the image, if they are wanted."""
        self.found.set_visibility(self.nearest.value)
        if not self.nearest.value or self.image is None:
            return
        try:
            if not self.neighbours.is_ready:
                self.note.set_text("reading the real images, and extracting their features ...")
                await asyncio.to_thread(self.neighbours.prepare)
            nearest = await asyncio.to_thread(self.neighbours, self.image, NEAREST)
        except UserError as error:
            self.note.set_text(str(error))
            return
        show_all(self.reals, nearest.images)
        for i, distance in enumerate(nearest.distances):
            label = "" if nearest.labels is None else f" · {self.classes.get(nearest.labels[i], '')}"
            self.captions[i].set_text(f"{distance:.2f}{label}")
        heldout = "" if nearest.heldout is None else f"; nearest image that wasn't trained on: {nearest.heldout:.2f}"
        self.note.set_text(f"distance in {self.neighbours.description}{heldout}")

    def described(self, place: Place) -> str:
        """Return the seed, number and class of a sample in words."""
        label = place.number % self.num_classes if self.num_classes and place.label is None else place.label
        named = "" if label is None else f", class {self.classes[label]}"
        return f"seed {place.seed}, number {place.number}{named}"

    async def save(self) -> None:
        """Send the image of the current settings to the browser, as a file."""
        (image,) = await asyncio.to_thread(self.explorer.images, self.view)
        ui.download(png(image), f"seed{self.view.place.seed}-{self.view.place.number}.png")

    async def save_sheet(self) -> None:
        """Send the sheet to the browser, as a file."""
        images = await asyncio.to_thread(self.explorer.images, self._sheet(self.view), SHEET)
        ui.download(png(grid(images)), f"seed{self.view.place.seed}-{self._first()}-{self._first() + SHEET - 1}.png")


# Elements


def box(classes: str = "", tag: str = "div") -> Any:
    """Create an element that contains others."""
    return ui.element(tag).classes(classes)


def text(content: str, classes: str = "", tag: str = "div") -> Any:
    """Create an element of text, which is never read as HTML."""
    label = ui.label(content).classes(classes)
    label.tag = tag
    return label


def section(title: str) -> Any:
    """Create a card with a title; its `head` is the row of the title."""
    made = box(tag="section")
    with made:
        made.head = box("bar")
        with made.head:
            text(title, tag="h2")
    return made


def button(icon: str, tooltip: str, act: Callable[[], Any], classes: str = "") -> Any:
    """Create a button of an icon."""
    made = ui.button(icon=icon, on_click=act).props(f'flat dense round size=sm aria-label="{tooltip}"')
    return made.tooltip(tooltip).classes(classes)


def whole(label: str, value: int, act: Callable[[int], None]) -> Any:
    """Create a field for a whole number from 0; other input is left alone."""

    def change(event: Any) -> None:
        if event.value is not None and event.value >= 0 and event.value == int(event.value) < 2**31:
            act(int(event.value))

    return ui.number(label, value=value, min=0, step=1, on_change=change).props("dense outlined")


def slider(
    name: str,
    low: float,
    high: float,
    step: float,
    value: float,
    act: Callable[[float], None],
    form: str,
    names: dict[float, str] | None = None,
    key: str = "",
) -> Any:
    """Create a row of a name, a slider and its value.

    names: of some values.
    """
    with box("bar tight"):
        text(name, "name long" if len(name) > 6 else "name")
        made = ui.slider(min=low, max=high, step=step, value=value, on_change=lambda event: change(event.value))
        made.classes(f"grow {key or name}").props(f'aria-label="{name}"')
        shown = text("", "value")

    def describe(now: float) -> None:
        shown.set_text(next((word for at, word in (names or {}).items() if math.isclose(now, at)), form.format(now)))

    def change(now: float) -> None:
        describe(now)
        act(now)

    describe(value)
    return made


def image_of(classes: str, shape: tuple[int, ...], alt: str) -> Any:
    """Create an empty image; small ones are enlarged without smoothing."""
    small = "small" if shape[-1] < SMALL else ""
    return ui.element("img").classes(f"{classes} {small}").props(f'alt="{alt}" width={shape[-1]} height={shape[-2]}')


def real(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Create an empty image with a caption."""
    with box(tag="figure"):
        return image_of("", shape, "a real image"), text("", tag="figcaption")


def show_all(elements: Sequence[Any], images: Tensor) -> None:
    """Show images (n, C, H, W) in the first n elements."""
    for element, image in zip(elements, images, strict=False):
        show(element, image)


def show(element: Any, image: Tensor) -> None:
    """Show an image (C, H, W) in an element."""
    element.props["src"] = f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"
    element.update()
