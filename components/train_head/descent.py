"""Smooth convex minimisation by preconditioned L-BFGS, several problems in step, so that one pass serves them all.

Nocedal and Wright, Numerical Optimization, second edition, algorithms 7.4 and 7.5.
"""

from collections import deque
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

PAIRS = 10
"""How many steps a descent remembers, each as two float32 arrays of the size of a point."""
_TOLERANCE = 3e-6
_ROUNDING = 1e-7
_EVALUATIONS = 200

K = TypeVar("K", bound=Hashable)
Value = tuple[float, np.ndarray]
"""What a problem says of a point: the objective, and its gradient in the shape of the point."""
Precondition = Callable[[np.ndarray], np.ndarray]
"""Applies an approximation of the inverse Hessian, symmetric and positive definite, to something like a gradient."""
Descent = Generator[np.ndarray, Value, np.ndarray]
"""Yields a point, is sent its value, and so on; returns the minimum."""


def descend(start: np.ndarray, precondition: Precondition) -> Descent:
    """Minimise one function.

    Ends when half the Newton decrement, an estimate of what there is still to win, is next to nothing of the objective
    twice in a row; once may be chance.

    Args:
        start: float64, of any shape.
        precondition: Of the function's Hessian; the better it is, the fewer the evaluations.
    """
    point, steps = start, deque[tuple[np.ndarray, np.ndarray]](maxlen=PAIRS)
    small = 0
    value, gradient = yield point
    evaluations = 1
    while evaluations < _EVALUATIONS:
        direction = _direction(gradient, steps, precondition)
        decrement = float(np.vdot(direction, gradient))
        small = small + 1 if decrement / 2 <= _TOLERANCE * value else 0
        if small == 2:
            break
        length = 1.0
        while True:
            candidate = point - length * direction
            candidate_value, candidate_gradient = yield candidate
            evaluations += 1
            if candidate_value <= value - 1e-4 * length * decrement:
                break
            if length * decrement <= _ROUNDING * value or evaluations >= _EVALUATIONS:
                return point  # what a shorter step could win is lost in rounding
            # The minimum of the parabola through both values and the first slope.
            excess = candidate_value - value + length * decrement
            length *= float(np.clip(length * decrement / (2 * excess), 0.1, 0.5))
        step, change = candidate - point, candidate_gradient - gradient
        if np.vdot(step, change) > 0:
            steps.append((step.astype(np.float32), change.astype(np.float32)))
        point, value, gradient = candidate, candidate_value, candidate_gradient
    return point


def minimize_together(
    descents: Mapping[K, Descent], evaluate: Callable[[Mapping[K, np.ndarray]], Mapping[K, Value]]
) -> dict[K, np.ndarray]:
    """Run several descents in step.

    Args:
        descents: Of each problem, by its name.
        evaluate: Returns the value of each problem that has not ended at the next point of its descent.

    Returns:
        The minimum of each problem, in the order of the descents.
    """
    minima: dict[K, np.ndarray] = {}
    points = {name: next(descent) for name, descent in descents.items()}
    while points:
        values, points = evaluate(points), {}
        for name, value in values.items():
            try:
                points[name] = descents[name].send(value)
            except StopIteration as end:
                minima[name] = end.value
    return {name: minima[name] for name in descents}


def _direction(
    gradient: np.ndarray, steps: Sequence[tuple[np.ndarray, np.ndarray]], precondition: Precondition
) -> np.ndarray:
    """Return the two-loop recursion's estimate of the inverse Hessian times the gradient."""
    direction, shares = gradient.copy(), []
    for step, change in reversed(steps):
        share = np.vdot(step, direction) / np.vdot(step, change)
        shares.append(share)
        direction -= share * change
    direction = precondition(direction)
    if steps:
        step, change = steps[-1]
        direction *= np.vdot(step, change) / np.vdot(change, precondition(change))
    for (step, change), share in zip(steps, reversed(shares), strict=True):
        direction += (share - np.vdot(change, direction) / np.vdot(step, change)) * step
    return direction
