import pytest

from sparsity import Unsupported, backend, names, plugin


def test_the_folder_is_the_registry() -> None:
    found = names("sparsity")
    assert found == sorted(found)
    assert {"dense", "sps"} <= set(found)
    assert not [name for name in found if name.startswith("_")]
    for name in found:
        assert backend(name) is plugin("sparsity", name, "backend").Backend


@pytest.mark.parametrize(("typo", "meant"), [("spss", "sps"), ("SPS", "sps"), ("dens", "dense")])
def test_a_typo_is_answered_with_the_closest_name_and_the_list(typo: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"There is no backend named '{typo}'. Did you mean '{meant}'") as error:
        backend(typo)
    assert ", ".join(names("sparsity")) in str(error.value)


@pytest.mark.parametrize("name", ["zzz", "_ops", "", "sparsity.sps"])
def test_what_is_not_a_public_module_is_not_a_plugin(name: str) -> None:
    with pytest.raises(ValueError, match="There is no head named"):
        plugin("sparsity", name, "head")


def test_catching_unsupported_does_not_need_its_name() -> None:
    assert issubclass(Unsupported, NotImplementedError)
