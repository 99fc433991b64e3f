import itertools

import pytest
from canary_gate.binomial import critical_samples, upper_tail
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom


@given(st.integers(1, 20_000), st.floats(0.0005, 0.3), st.data())
def test_the_tail_is_scipys(requests: int, rate: float, data: st.DataObject) -> None:
    mean = requests * rate
    errors = data.draw(st.integers(0, int(mean + 10)))
    assert upper_tail(errors, requests, rate) == pytest.approx(
        binom.sf(errors - 1, requests, rate), abs=1e-9
    )


def test_more_errors_than_requests_are_impossible() -> None:
    assert upper_tail(3, 2, 0.5) == 0.0


@pytest.mark.parametrize(("rate", "level"), [(0.001, 0.05), (0.001, 0.01), (0.05, 0.01)])
def test_critical_samples_are_the_last_that_the_errors_refute(rate: float, level: float) -> None:
    for errors, sample in enumerate(itertools.islice(critical_samples(rate, level), 30), start=1):
        assert binom.sf(errors - 1, sample, rate) <= level
        assert binom.sf(errors - 1, sample + 1, rate) > level


@pytest.mark.parametrize(("rate", "level"), [(0, 0.05), (1, 0.05), (0.1, 0), (0.1, 0.5)])
def test_parameters_without_meaning_are_refused(rate: float, level: float) -> None:
    with pytest.raises(ValueError, match="needs 0 < rate < 1"):
        next(critical_samples(rate, level))
