"""Shares that are counted, with the interval that so many counts allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

_QUANTILE = 0.975  # of 95% intervals


@dataclass(frozen=True)
class Rate:
    """A share with its 95% interval; all arrays have the shape of the counts.

    Attributes:
        share: successes / trials, 0 without trials.
        low: lower end of the interval.
        high: upper end.
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def from_counts(cls, successes: np.ndarray, trials: np.ndarray | float) -> Rate:
        """The interval of a Beta posterior under Jeffreys' prior Beta(1/2, 1/2).

        It keeps its coverage where counts are small and takes half counts (Brown, Cai, DasGupta,
        Interval Estimation for a Binomial Proportion, Statistical Science 2001, section 4.1.2,
        with its rule for the ends: no success puts the lower end at 0, only successes put the
        upper end at 1).

        Args:
            successes: any shape, 0 to trials, not necessarily whole.
            trials: the same shape, or one that broadcasts to it.
        """
        alpha, beta = successes + 0.5, trials - successes + 0.5
        low = np.where(successes > 0, betaincinv(alpha, beta, 1 - _QUANTILE), 0.0)
        high = np.where(successes < trials, betaincinv(alpha, beta, _QUANTILE), 1.0)
        return cls(successes / np.maximum(trials, 1e-9), low, np.where(trials > 0, high, 1.0))
