"""Against the version that is copied most often, side by side in one process, on one thread.

That version takes every image through PIL and ToTensor in a DataLoader, computes in single precision, and steps with
plain Adam.  It is given our learning rates, so that both do the same work.  A time is that of the processor and the
median of turns taken one after the other; ratio and speed are printed.
"""

import time
from statistics import median

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from tests.autoencoders import generator
from vi_helpers.datasets import real
from vi_helpers.datasets.vision import torchvision_datasets
from vi_helpers.vae.evaluation import average_elbo
from vi_helpers.vae.networks import Network, build
from vi_helpers.vae.training import Settings, rate_at, short_format, train

N, TURNS, BATCH, PEAK = 12_800, 3, 128, 1e-3
#: Seen: 3.0 to 3.1 on an idle machine of two cores, 2.5 to 2.9 on a busy one, and 2.0 there in single precision.
AT_LEAST, AT_LEAST_IN_SINGLE_PRECISION = 2.0, 1.5
STEPS = N // BATCH


class Example(nn.Module):
    """784-400-20 and back, as in the examples of PyTorch."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    def as_ours(self):
        """The same weights in our model."""
        vae = build(Network("example"), generator())
        with torch.no_grad():
            for ours, theirs in ((vae.encoder[1], self.fc1), (vae.decoder[0], self.fc3), (vae.decoder[2], self.fc4)):
                ours.load_state_dict(theirs.state_dict())
            vae.encoder[3].weight.copy_(torch.cat([self.fc21.weight, self.fc22.weight]))
            vae.encoder[3].bias.copy_(torch.cat([self.fc21.bias, self.fc22.bias]))
        return vae


class OneByOne(Dataset):
    """As torchvision's MNIST gives them: each image through PIL and a transform, with its label."""

    def __init__(self, images, transform):
        self.images, self.labels, self.transform = images, torch.zeros(len(images), dtype=torch.int64), transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index].numpy(), mode="L")), int(self.labels[index])


def theirs(images):
    torchvision_datasets()
    from torchvision.transforms import ToTensor

    torch.manual_seed(1)
    model = Example()
    optimiser = torch.optim.Adam(model.parameters(), lr=PEAK)
    settings, step = Settings(epochs=1, learning_rate=PEAK), 0
    for data, _ in DataLoader(OneByOne(images[:, 0], ToTensor()), batch_size=BATCH, shuffle=True):
        optimiser.param_groups[0]["lr"] = PEAK * rate_at(step, STEPS, settings)
        optimiser.zero_grad()
        recon, mu, logvar = model(data)
        bce = F.binary_cross_entropy(recon, data.view(-1, 784), reduction="sum")
        loss = bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        # the example leaves the sum; the mean is what our rate is meant for, and Adam does not mind the factor
        (loss / len(data)).backward()
        loss.item()
        optimiser.step()
        step += 1
    assert step == STEPS
    return model.as_ours()


def ours(images, precision="auto"):
    settings = Settings(epochs=1, batch=BATCH, learning_rate=PEAK, precision=precision)
    return train(Network("example"), images, settings, progress=False).vae


@pytest.fixture(scope="module")
def images():
    """Digits to train on and digits to score, repeated where the set is small: the work is the same."""
    found = real.mnist(download=False)
    chosen = [np.resize(np.arange(len(part)), n) for part, n in ((found.train, N), (found.test, 2000))]
    return torch.from_numpy(found.train[chosen[0]]), torch.from_numpy(found.test[chosen[1]])


def matmul_rate(dtype):
    """GFLOP/s of the network's own product, 128 × 784 by 784 × 400."""
    a, b = torch.randn(128, 784, dtype=dtype), torch.randn(784, 400, dtype=dtype)
    times = []
    for _ in range(20):
        begin = time.process_time()
        for _ in range(10):
            a @ b
        times.append(time.process_time() - begin)
    return 10 * 2 * 128 * 784 * 400 / min(times) / 1e9


@pytest.mark.filterwarnings("ignore:.*'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:MNIST is not on this machine")
def test_training_takes_less_than_half_the_time_of_one_image_after_another(images, capsys):
    to_train, to_score = images
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        times, models = {theirs: [], ours: []}, {}
        for _ in range(TURNS):
            for version in (theirs, ours):
                begin = time.process_time()
                models[version] = version(to_train)
                times[version].append(time.process_time() - begin)
        short = short_format("auto")
        rate = matmul_rate(torch.bfloat16 if short else torch.float32)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    slow, fast = (median(times[version]) for version in (theirs, ours))
    scores = {v: average_elbo(m, to_score, "grey", generator(), n_samples=2) for v, m in models.items()}
    # forward once, the weights' gradients once, the inputs' where they are asked for: 3.28 million an image
    achieved = 3.28e6 * N / fast / 1e9
    kind = "bfloat16" if short else "float32"
    lines = [
        f"{N} images in {kind}: {fast:.2f} s; one by one {slow:.2f} s, {slow / fast:.1f} times that",
        f"{achieved:.0f} GFLOP/s, {achieved / rate:.0%} of the {rate:.0f} of the product alone",
        f"-ELBO {-scores[ours].elbo:.1f} and {-scores[theirs].elbo:.1f} nats",
    ]
    with capsys.disabled():
        print("\n  " + "\n  ".join(lines))
    gap = scores[ours].elbo - scores[theirs].elbo
    # two starts and two orders at the same rates; after 100 steps the score still falls by nats with every ten
    assert abs(gap) < 0.02 * abs(scores[theirs].elbo)
    assert slow / fast >= (AT_LEAST if short else AT_LEAST_IN_SINGLE_PRECISION)
