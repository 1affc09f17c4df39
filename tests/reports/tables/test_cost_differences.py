"""What separates the costs of two cells, as a table."""

from reports.renderers.markdown import markdown
from reports.tables.cost_differences import cost_differences


def test_units_digits_and_intervals() -> None:
    row = {"probe": "flops", "unit": "MACs", "at": {}, "p": 0.0412, "verdict": "lower"}
    sure = {"low": -1.4e10, "high": -4e8, "ratio": 0.75, "ratio_low": 0.7123, "ratio_high": 0.98}
    exact = {**dict.fromkeys(("low", "high", "ratio_low", "ratio_high", "p")), "probe": "params", "verdict": "higher"}
    table = cost_differences(
        "demo/a",
        "demo/b",
        [
            {**row, **sure, "name": "macs", "first": 4e10, "second": 3e10, "difference": -1e10},
            {
                **(row | sure | {"probe": "speed", "unit": "ms", "at": {"phase": "head"}}),
                **{
                    "name": "latency_ms_median",
                    "first": 1234.4,
                    "second": 0.5,
                    "difference": -1233.9,
                    "low": -2e3,
                    "high": -9,
                },
            },
            {
                **(row | exact | {"unit": "parameters", "ratio": None}),
                **{"name": "params_head", "first": 0, "second": 265000, "difference": 265000},
            },
        ],
    )
    assert table.title == "demo/b against demo/a"
    head = "latency_ms_median (phase head)"
    assert table.texts() == [
        ["flops", "macs", "GMACs", "40", "30", "-10", "[-14, -0.4]", "0.75", "[0.712, 0.98]", "0.041", "lower"],
        ["speed", head, "ms", "1234", "0.5", "-1234", "[-2000, -9]", "0.75", "[0.712, 0.98]", "0.041", "lower"],
        ["params", "params_head", "M", "0", "0.265", "+0.265", "", "", "", "", "higher"],
    ]
    assert "nothing of the training seed" in markdown(table)
