"""What is chosen from made-up data: tiny objects, huge pictures, one image, thousands of classes."""

from dataclasses import replace

import pytest

from bench.training.choices import Facts, choose

USUAL = Facts(
    num_images=120,
    num_objects=7_000,
    long_side=512,
    small_object=16.0,
    small_share=16 / 512,
    usual_most=95,
    most_objects=110,
)


def test_a_tenth_of_the_objects_may_be_below_twelve_pixels() -> None:
    made = choose(USUAL)
    assert made.input_size == 384
    assert made.input_size * USUAL.small_share >= 12
    assert made.augmentation.long == 384
    assert max(made.augmentation.shorts) == 384
    assert min(made.augmentation.shorts) * USUAL.small_share >= 8


def test_large_objects_need_no_more_than_the_detector_knows() -> None:
    made = choose(replace(USUAL, small_object=200.0, small_share=0.4))
    assert made.input_size == 320
    assert min(made.augmentation.shorts) == 192  # as the shipped detector was trained


def test_tiny_objects_in_huge_pictures_get_the_limit_and_a_warning() -> None:
    made = choose(replace(USUAL, long_side=6_000, small_object=12.0, small_share=12 / 6_000))
    assert made.input_size == 384
    assert any("cut the pictures into tiles, or give --input-size 2048" in reason for reason in made.reasons)
    assert not any("tiles" in reason for reason in choose(USUAL).reasons)


def test_one_image_is_shown_often_and_many_only_as_often_as_a_laptop_can() -> None:
    one = choose(replace(USUAL, num_images=1, num_objects=3, most_objects=3, usual_most=3))
    many = choose(replace(USUAL, num_images=100_000))
    assert one.detector_views == 600
    assert many.detector_views <= 3_000
    assert one.head_views < one.detector_views < many.detector_views


def test_every_object_of_the_fullest_picture_has_a_query() -> None:
    full = choose(replace(USUAL, most_objects=2_000))
    assert full.num_queries >= full.num_detections >= 2_000
    few = choose(replace(USUAL, usual_most=7, most_objects=40))
    assert (few.num_queries, few.num_detections) == (100, 100)


def test_what_is_given_is_not_chosen() -> None:
    made = choose(USUAL, views=7, input_size=640)
    assert (made.detector_views, made.head_views, made.input_size) == (7, 4, 640)
    assert sum("as asked for" in reason for reason in made.reasons) == 2


@pytest.mark.parametrize("given", [{"views": 0}, {"input_size": 8}, {"input_size": 100_000}])
def test_what_is_out_of_range_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        choose(USUAL, **given)


def test_every_choice_has_its_reason() -> None:
    words = " ".join(choose(USUAL).reasons)
    for part in ("input 384", "resized to", "views 960", "queries"):
        assert part in words
