import numpy as np

from sav.ontology.rate import Rate


def test_rates_and_their_intervals():
    rate = Rate.from_counts(np.array([0.0, 5.0, 10.0, 0.0]), np.array([10.0, 10.0, 10.0, 0.0]))
    assert rate.share.tolist() == [0, 0.5, 1, 0]
    # Jeffreys intervals as tabulated for n = 10 (Brown, Cai, DasGupta 2001).
    assert np.allclose(rate.low, [0, 0.224, 0.783, 0], atol=1e-3)
    assert np.allclose(rate.high, [0.217, 0.776, 1, 1], atol=1e-3)
    assert rate.high[-1] - rate.low[-1] == 1
    many = Rate.from_counts(np.array([5000.0]), np.array([10000.0]))
    assert many.high - many.low < 0.03
