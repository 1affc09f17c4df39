"""What has a name on the command line, and what is said of a wrong one."""

import importlib
import subprocess
import sys

import pytest

from bench import catalog


def test_a_wrong_name_is_told_without_torch() -> None:
    code = (
        "import sys; from bench import catalog\n"
        "try: catalog.check_backend('sps:nativ')\n"
        "except ValueError as error: print(error)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, has_torch = done.stdout.splitlines()
    assert message.startswith("There is no kernel named 'nativ'. Did you mean 'native'? Known: blocked, native, ")
    assert has_torch == "False"


@pytest.mark.parametrize("probe", catalog.plugins("bench.probes"))
def test_constants_of_probes_are_read_without_importing_them(probe: str) -> None:
    module = importlib.import_module(f"bench.probes.{probe}")
    for name in ("VERSION", "TIMED", "NEEDS_IMAGES", "NEEDS_WEIGHTS"):
        assert catalog.constant(module.__name__, name) == getattr(module, name)


def test_what_is_no_constant_is_none() -> None:
    assert catalog.constant("bench.probes.speed", "NOTHING") is None
    assert catalog.constant("bench.probes.nothing", "VERSION") is None
