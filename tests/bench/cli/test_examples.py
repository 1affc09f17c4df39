"""Every help ends with examples."""

import pytest

from bench import cli
from bench.cli.examples import EXAMPLES


@pytest.mark.parametrize("verb", EXAMPLES)
def test_every_help_ends_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert not stop.value.code
    assert capsys.readouterr().out.endswith(f"  run_bench.py {EXAMPLES[verb][-1]}\n")


def test_help_names_every_verb_and_completion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(f"  run_bench.py {verb}" in out for verb in EXAMPLES)
    assert "--tyro-print-completion bash" in out
