import numpy as np
import pytest
import torch

from vi_helpers.inference.adam import adam

PEAK = np.array([1.0, -3.0])


def slope(theta):
    return -np.array([1.0, 25.0]) * (theta - PEAK)


def test_every_step_is_that_of_torch():
    path = adam(slope, [4.0, 2.0], rate=0.1, steps=60)
    theta = torch.tensor([4.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([theta], lr=0.1, maximize=True)
    for row in path[1:]:
        optimiser.zero_grad()
        theta.grad = torch.tensor(slope(theta.detach().numpy()))
        optimiser.step()
        np.testing.assert_allclose(row, theta.detach().numpy(), rtol=1e-10)


def test_it_climbs_to_the_peak_and_keeps_the_start():
    path = adam(slope, [4.0, 2.0], rate=0.05, steps=2000)
    assert path.shape == (2001, 2)
    np.testing.assert_array_equal(path[0], [4.0, 2.0])
    np.testing.assert_allclose(path[-1], PEAK, atol=1e-3)


def test_the_start_is_not_written_to():
    start = np.array([4.0, 2.0])
    adam(slope, start, rate=0.05, steps=3)
    np.testing.assert_array_equal(start, [4.0, 2.0])


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: adam(slope, [np.nan, 0.0], rate=0.1, steps=3), "start", id="start nan"),
        pytest.param(lambda: adam(slope, [0.0, 0.0], rate=0.0, steps=3), "rate", id="rate of zero"),
        pytest.param(lambda: adam(slope, [0.0, 0.0], rate=0.1, steps=0), "steps", id="no steps"),
        pytest.param(lambda: adam(lambda t: t * np.nan, [0.0], rate=0.1, steps=3), "gradient", id="gradient nan"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match="must be") as error:
        call()
    assert argument in str(error.value)
