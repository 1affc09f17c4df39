"""Parts of recipes: what is kept, what takes the place of a recipe's own, and what is said of what it lacks."""

import pytest

from bench import catalog
from bench.planning import recipes
from bench.planning.narrow import select


def test_filters() -> None:
    main = recipes.load("main")
    chosen = select(main, heads=["effseg", "mask_rcnn"], backbones=["r50_defenc"], probes=["params"])
    assert [str(cell) for cell in chosen] == [
        "main/mask_rcnn-r50_defenc-paper-12ep-seed0/params",
        "main/effseg-sps-sfm-r50_defenc-paper-12ep-seed0/params",
    ]
    assert select(main) == main
    modules = select(recipes.load("modules"), modules=["mlp", "conv"])
    assert {cell.subject.module for cell in modules} == {"mlp", "conv"}


def test_a_probe_of_the_recipe_keeps_its_subjects_and_limits() -> None:
    demo = recipes.load("demo")
    (speed,) = select(demo, heads=["effseg"], probes=["speed"])
    assert speed in demo
    assert speed.images is not None


def test_probes_and_backends_take_the_place_of_the_recipes() -> None:
    chosen = select(recipes.load("own"), backends=["sps", "dense"], probes=["speed", "params"])
    backends = [(cell.subject.head, cell.subject.backend) for cell in chosen if cell.probe == "speed"]
    assert backends == [
        ("mask_rcnn", None),
        ("point_rend", None),
        ("refine_mask", None),
        ("effseg", "sps"),
        ("effseg", "dense"),
    ]
    assert {cell.probe for cell in chosen} == {"speed", "params"}


@pytest.mark.parametrize(
    ("part", "name", "suggestion"),
    [
        ("heads", "mask_rcn", "mask_rcnn"),
        ("backbones", "r50fpn", "r50_fpn"),
        ("modules", "sffm", "sfm"),
        ("backends", "dens", "dense"),
        ("backends", "sps:warp", "kernel"),
    ],
)
def test_unknown_names(part: str, name: str, suggestion: str) -> None:
    with pytest.raises(ValueError, match=f"There is no .*{suggestion}.*Known: "):
        select(recipes.load("main"), **{part: [name]})


@pytest.mark.parametrize(
    ("recipe", "part", "asked", "message"),
    [
        ("modules", "heads", ["mask_rcnn"], r"no head mask_rcnn\. It has head effseg\."),
        ("main", "heads", ["effseg", "bmask", "query_dot"], r"no head bmask, query_dot\. It has head mask_rcnn, "),
        ("main", "backbones", ["r50_fpn", "small_fpn"], r"no backbone small_fpn\. It has backbone r50_fpn, r50_defenc"),
        ("main", "modules", ["mlp"], r"no module mlp\. It has module sfm\."),
        ("certify", "heads", ["effseg"], r"no head effseg\. It has head none\."),
    ],
)
def test_what_a_recipe_lacks_is_said(recipe: str, part: str, asked: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(recipes.load(recipe), **{part: asked})


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_no_recipe_drops_a_head_that_was_asked_for(name: str) -> None:
    cells = recipes.load(name)
    own = {cell.subject.head for cell in cells if cell.subject.weights != "none"}
    for head in catalog.names("heads"):
        if head in own:
            chosen = select(cells, heads=[head])
            assert {cell.subject.head for cell in chosen if cell.subject.weights != "none"} == {head}
        else:
            with pytest.raises(ValueError, match=f"The recipe has no head {head}"):
                select(cells, heads=[*own, head])


def test_nothing_left() -> None:
    subjects = [recipes.subject("effseg"), recipes.subject("bmask", backbone="r50_defenc")]
    cells = recipes.cells("mine", subjects, ("params",))
    with pytest.raises(
        ValueError, match=r"No cell of the recipe is left\. It has head effseg, bmask; backbone r50_fpn"
    ):
        select(cells, heads=["bmask"], backbones=["r50_fpn"])
