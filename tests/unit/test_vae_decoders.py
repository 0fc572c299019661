"""The decoders that pages compute with: numpy against torch, the file that is fetched, explorers that ask for it."""

import math

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from vi_helpers.explorers.mnist import DecoderExplorer, WalkExplorer, walk
from vi_helpers.vae.decoders import DECODERS, decoder, decoder_file, file_name, grey_levels, logits, pixel_entropy
from vi_helpers.vae.reference import reference

EXPLORERS = [DecoderExplorer, WalkExplorer]


@pytest.fixture(params=DECODERS)
def name(request):
    return request.param


def test_numpy_computes_what_torch_computes(name):
    vae, _ = reference(name)
    z = 2 * np.random.default_rng(1).standard_normal((5, 8, vae.latent))
    answer = logits(decoder(name), z)
    with torch.no_grad():
        wanted = vae.double().decode(torch.from_numpy(z)).reshape(5, 8, 784)
    assert answer == pytest.approx(wanted.numpy(), rel=1e-9, abs=1e-7)  # torch's softplus is cut off at 20
    pixels = torch.distributions.Bernoulli(logits=wanted)
    assert grey_levels(answer) == pytest.approx(255 * pixels.probs.numpy(), abs=1e-6)
    assert pixel_entropy(answer) == pytest.approx(pixels.entropy().sum(-1).numpy(), rel=1e-8)


def test_entropy_and_grey_levels_at_the_ends():
    far = np.array([-800.0, 800.0])
    assert pixel_entropy(far) == 0
    assert grey_levels(far).tolist() == [0, 255]
    assert pixel_entropy(np.zeros(784)) == pytest.approx(784 * math.log(2))
    assert grey_levels(0.0) == 127.5


def test_the_file_holds_the_decoder_in_half_precision_and_nothing_else(name):
    tensors = load(decoder_file(name))
    vae, _ = reference(name)
    assert set(tensors) == {f"decoder.{key}" for key in vae.decoder.state_dict()}
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float16)}
    weights = sum(tensor.size for tensor in tensors.values())
    assert 2 * weights < len(decoder_file(name)) < 2 * weights + 1000
    assert int.from_bytes(decoder_file(name)[:8], "little") % 8 == 0  # the script reads the numbers in place


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: decoder_file("mnist_conv"), "name"),
        (lambda: decoder("nothing"), "name"),
        (lambda: logits(decoder("mnist_map"), np.zeros(3)), "z"),
        (lambda: logits(decoder("mnist_map"), 0.0), "z"),
        (lambda: logits(decoder("mnist_map"), [math.nan, 0.0]), "z"),
        (lambda: grey_levels([math.inf]), "logits"),
        (lambda: pixel_entropy([math.nan]), "logits"),
    ],
)
def test_bad_input_is_refused(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()


def test_the_walk_is_closed_smooth_and_of_typical_length():
    assert walk(4.0, 1.0) == pytest.approx(walk(0.0, 1.0))
    steps = np.array([walk(t, 1.0) for t in np.linspace(0, 4, 401)])
    assert np.linalg.norm(steps, axis=1) == pytest.approx(np.full(401, math.sqrt(20)))
    lengths = np.linalg.norm(np.diff(steps, axis=0), axis=1).reshape(4, 100)
    assert lengths == pytest.approx(np.repeat(lengths[:, :1], 100, axis=1))  # an even pace between two codes
    assert lengths.min() > 0.02
    assert walk(1.3, 0.5) == pytest.approx(walk(1.3, 1.0) / 2)


@pytest.mark.parametrize("kind", EXPLORERS)
def test_the_kernel_sends_the_weights_that_were_asked_for(kind, monkeypatch):
    widget, sent = kind(), []
    monkeypatch.setattr(widget, "send", lambda content, buffers: sent.append((content, buffers)))
    widget._handle_custom_msg({"file": "another.safetensors"}, [])
    assert sent == []
    widget._handle_custom_msg({"file": widget.file}, [])
    assert sent == [({"file": widget.file}, [decoder_file(widget.model)])]
    assert widget.file.startswith(file_name(widget.model) + "?v=")
    assert widget.size == len(decoder_file(widget.model))
    assert f"{widget.activation}:" in widget._esm


@pytest.mark.parametrize("kind", EXPLORERS)
def test_the_readouts_are_those_of_torch(kind):
    vae, _ = reference(kind.model)
    settings = {"z1": 0.7, "z2": -1.1} if kind is DecoderExplorer else {"t": 1.3, "scale": 0.8}
    z = torch.tensor([[0.7, -1.1]]) if kind is DecoderExplorer else torch.from_numpy(walk(1.3, 0.8))[None].float()
    with torch.no_grad():
        mean = vae.mean(z)
    numbers = kind.readouts(**settings)
    assert numbers["ink"] == pytest.approx(255 * float(mean.mean()), rel=1e-5)
    assert numbers["entropy"] == pytest.approx(float(torch.distributions.Bernoulli(mean).entropy().sum()), rel=1e-4)
    assert numbers["log_prior"] == pytest.approx(float(torch.distributions.Normal(0, 1).log_prob(z).sum()), rel=1e-5)
    if kind is WalkExplorer:
        assert numbers["norm"] == pytest.approx(0.8 * math.sqrt(20))
