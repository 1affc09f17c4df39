"""Overlays: what is drawn lies where the masks are, and people can tell it apart."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.inference.overlay import COLOURS, Shape, coloured, draw, letter_height, line_width

GREY = 128


def shape(mask: np.ndarray, top: int = 0, left: int = 0, *, name: str = "", group: int = 0) -> Shape:
    return Shape(mask=mask, top=top, left=left, name=name, note="0.90", group=group)


def grey(height: int, width: int) -> Image.Image:
    return Image.new("RGB", (width, height), (GREY, GREY, GREY))


def changed(image: Image.Image, drawn: Image.Image) -> np.ndarray:
    return (np.array(image) != np.array(drawn)).any(2)


def disc(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return x**2 + y**2 <= (side / 2) ** 2


def test_nothing_to_draw_changes_nothing() -> None:
    image = grey(30, 40)
    drawn = draw(image, [shape(np.zeros((5, 5), bool))])
    assert drawn is not image
    assert not changed(image, drawn).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_on_small_pictures_exactly_the_pixels_of_masks_change(seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 60, 2).tolist()
    image, covered, shapes = grey(height, width), np.zeros((height, width), bool), []
    for _ in range(4):
        top, left = generator.integers((height, width)).tolist()
        down, across = generator.integers(1, (height - top + 1, width - left + 1)).tolist()
        mask = generator.random((down, across)) < 0.6
        covered[top : top + down, left : left + across] |= mask
        shapes.append(shape(mask, top, left, name="a name that is longer than the picture is wide"))
    assert (changed(image, draw(image, shapes)) == covered).all()


def test_inside_is_tinted_the_edge_has_the_colour_and_around_it_is_dark() -> None:
    image = grey(400, 400)
    pixels = np.array(draw(image, [shape(np.ones((200, 200), bool), 100, 100, group=4)])).astype(int)
    colour = np.array(COLOURS[4])
    width = line_width((400, 400))
    assert (pixels[299, 200] == colour).all()
    assert (pixels[300 - width, 200] == colour).all()
    assert np.abs(pixels[299 - width, 200] - (0.65 * GREY + 0.35 * colour)).max() <= 1
    assert (pixels[300, 200] < GREY / 2).all()
    assert (pixels[310, 200] == GREY).all()


def test_a_mask_at_the_edges_of_the_picture_is_drawn() -> None:
    image = grey(200, 200)
    drawn = changed(image, draw(image, [shape(np.ones((200, 200), bool))]))
    assert drawn.all()


def test_a_hole_stays_a_hole() -> None:
    mask = np.ones((200, 200), bool)
    mask[50:150, 50:150] = False
    pixels = np.array(draw(grey(200, 200), [shape(mask)]))
    assert (pixels[80:120, 80:120] == GREY).all()


def test_the_smaller_of_two_is_seen() -> None:
    large, small = shape(np.ones((180, 180), bool), 10, 10, group=0), shape(np.ones((60, 60), bool), 60, 60, group=1)
    for order in ([large, small], [small, large]):
        pixels = np.array(draw(grey(200, 200), order)).astype(int)
        assert np.abs(pixels[90, 90] - (0.65 * GREY + 0.35 * np.array(COLOURS[1]))).max() <= 1


def test_neighbours_have_different_colours_and_a_class_apart_its_own() -> None:
    boxes = np.array([[x, y, x + 10, y + 10] for y in range(0, 30, 10) for x in range(0, 30, 10)], np.float64)
    found = coloured(boxes, [3] * 9, near=1)
    for i, one in enumerate(boxes):
        for j, other in enumerate(boxes[:i]):
            if np.abs(one - other).max() <= 10 and len(set(found)) < len(COLOURS):
                assert found[i] != found[j]
    apart = np.array([[0, 0, 10, 10], [100, 0, 110, 10]], np.float64)
    assert coloured(apart, [3, 3], near=5) == [3, 3]


def test_more_neighbours_than_colours_share_them_evenly() -> None:
    found = coloured(np.tile(np.array([[0.0, 0, 10, 10]]), (70, 1)), [0] * 70, near=1)
    assert np.bincount(found).tolist() == [10] * len(COLOURS)


def test_lines_and_letters_grow_with_the_picture() -> None:
    sizes = [(40, 30), (640, 480), (4000, 3000)]
    assert [line_width(size) for size in sizes] == [1, 2, 12]
    assert letter_height(sizes[1]) < letter_height(sizes[2]) / 4
    assert letter_height((5000, 100)) <= 100 / 8


def test_a_label_is_written_in_a_readable_colour_and_inside_of_the_picture() -> None:
    for group, colour in enumerate(COLOURS):
        image = grey(300, 300)
        # In the corner, where only the inside is left for the label.
        pixels = np.array(draw(image, [shape(np.ones((300, 300), bool), name="wheelchair", group=group)]))[3:20, 3:60]
        label = (pixels == np.array(colour)).all(2)
        assert label.mean() > 0.25
        contrast = np.abs(pixels.astype(int) - np.array(colour)).max(2)
        assert contrast.max() > 100


def test_of_a_hundred_objects_only_as_many_are_labelled_as_there_is_room_for() -> None:
    image = grey(600, 600)
    many = [shape(disc(50), 60 * (i // 10) + 5, 60 * (i % 10) + 5, name="star", group=i) for i in range(100)]
    bare = draw(image, [replace(each, note="x" * 500) for each in many])  # for which there is no room
    drawn = draw(image, many)
    assert 0 < changed(bare, drawn).mean() < 0.2


@pytest.mark.parametrize("name", ["Strasse \u00df \u4eba \U0001f600", "", "a\nb"])
def test_any_name_can_be_written(name: str) -> None:
    draw(grey(300, 300), [shape(np.ones((200, 200), bool), name=name)])
