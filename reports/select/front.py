"""The Pareto front: what no other one beats in both accuracy and cost."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]], *, is_rate: bool = False) -> list[tuple[float, float]]:
    """The points (cost, accuracy) that no other one beats in both, by cost; of a rate, more is cheaper."""

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        is_cheaper = one[0] >= other[0] if is_rate else one[0] <= other[0]
        return is_cheaper and one[1] >= other[1] and one != other

    return sorted(point for point in points if not any(beats(other, point) for other in points))
