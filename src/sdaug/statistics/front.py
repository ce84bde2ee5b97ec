"""Which settings are worth a look: those that no other beats in everything."""

import numpy as np


def pareto_front(small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """(N,) bool: the rows that are not dominated.

    small: (N, S) float figures of N settings that are to be small (a latency), large: (N, L) those that are to be large
    (a similarity). One row dominates another if it is no worse in every column and better in one; of equal rows none
    does. A row with a NaN is never on the front and dominates nothing: an unmeasured figure is not a good one.

    Raises ValueError on other shapes and where there is no column at all.

    >>> pareto_front(np.array([[1.0], [2.0], [2.0]]), np.array([[0.8], [0.9], [0.7]])).tolist()
    [True, True, False]
    """
    low, high = np.asarray(small, np.float64), np.asarray(large, np.float64)
    if low.ndim != 2 or high.ndim != 2 or len(low) != len(high) or low.shape[1] + high.shape[1] == 0:
        raise ValueError(f"small is {low.shape}, large {high.shape}; expected (N, S) and (N, L), with some column")
    costs = np.hstack([low, -high])
    measured = ~np.isnan(costs).any(1)
    known = costs[measured]
    front = np.zeros(len(costs), bool)
    front[measured] = [not ((known <= row).all(1) & (known < row).any(1)).any() for row in known]
    return front
