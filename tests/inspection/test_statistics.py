"""How well images fit what a network recorded in training."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from graftwork.inspection.statistics import Moments, normalisations

layers = keras.layers


class TestDivergence:
    @given(mean=st.floats(-3, 3), variance=st.floats(0.1, 10), other=st.floats(-3, 3), spread=st.floats(0.1, 10))
    def test_it_is_that_of_two_normal_distributions(
        self, mean: float, variance: float, other: float, spread: float
    ) -> None:
        moments = Moments(*(np.array(value) for value in ([[mean]], [[mean**2 + variance]], [other], [spread])))
        found = moments.divergence(np.ones((1, 1)))[0]
        points = np.linspace(mean - 12 * variance**0.5, mean + 12 * variance**0.5, 20001)
        density = norm.pdf(points, mean, variance**0.5)
        ratio = norm.logpdf(points, mean, variance**0.5) - norm.logpdf(points, other, spread**0.5)
        assert found == pytest.approx(np.trapezoid(density * ratio, points), abs=1e-3, rel=1e-3)

    def test_a_fresh_network_has_recorded_nothing(self) -> None:
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.BatchNormalization()])
        assert normalisations(model) == []
        model(np.random.default_rng(0).normal(3, 1, (4, 8, 8, 3)), training=True)
        assert normalisations(model) == [model.layers[-1]]
