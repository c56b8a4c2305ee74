"""Streams of items that are worked on a few at the same time."""

from collections.abc import Iterator

import pytest

from graftwork.data.streams import map_in_order


def test_results_come_in_order_and_a_bounded_number_is_begun_ahead() -> None:
    begun = []

    def numbers() -> Iterator[int]:
        for number in range(500):
            begun.append(number)
            yield number

    for number, result in enumerate(map_in_order(lambda item: 2 * item, numbers(), workers=3)):
        assert result == 2 * number
        assert len(begun) - number < 20


def test_an_error_in_one_item_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda item: 1 / item, [2, 1, 0]))
