"""Optimisers against PyTorch's, schedules, resuming; compiled batch norm against the plain one."""

import numpy as np
import pytest

from nmahw.errors import ModelError, TrainingError
from nmahw.train.layers import BatchNorm, Matrix
from nmahw.train.optimisers import Adam, Optimiser, Sgd, cosine
from nmahw.train.rule import Rule


class Counting(Rule):
    """Ordinary arithmetic under another name, so that nothing compiled stands for it."""

    def __init__(self):
        self.products = 0

    def product(self, a, b):
        self.products += 1
        return a * b


def layer_and_gradients(seed: int, count: int, rule: Rule) -> tuple[Matrix, list[dict]]:
    rng = np.random.default_rng(seed)
    layer = Matrix(rule, 5, 4, rng)
    gradients = [{name: rng.standard_normal(value.shape).astype(np.float32)
                  for name, value in layer.parameters.items()} for _ in range(count)]
    return layer, gradients


@pytest.mark.parametrize("kind", ["plain", "momentum", "decay", "adam"])
def test_steps_are_those_of_pytorch(kind):
    torch = pytest.importorskip("torch")
    layer, gradients = layer_and_gradients(1, 25, Rule())
    twins = {name: torch.tensor(value.copy(), requires_grad=True)
             for name, value in layer.parameters.items()}
    mine = {"plain": lambda: Optimiser([layer]), "momentum": lambda: Sgd([layer], 0.9),
            "decay": lambda: Sgd([layer], 0.5, decay=0.01), "adam": lambda: Adam([layer])}[kind]()
    groups = [{"params": [twins["weights"]], "weight_decay": 0.01 if kind == "decay" else 0.0},
              {"params": [twins["bias"]]}]
    if kind == "adam":
        theirs = torch.optim.Adam(groups, 0.1)
    else:
        theirs = torch.optim.SGD(groups, 0.1, {"momentum": 0.9, "decay": 0.5}.get(kind, 0.0))
    for gradient in gradients:
        layer.gradients = gradient
        mine.step(0.1)
        for name, twin in twins.items():
            twin.grad = torch.tensor(gradient[name])
        theirs.step()
    for name, twin in twins.items():
        np.testing.assert_allclose(layer.parameters[name], twin.detach().numpy(), rtol=1e-4,
                                   atol=2e-5)


def test_products_are_the_rules_and_parts_can_have_rates_of_their_own():
    rule = Counting()
    one, gradients = layer_and_gradients(2, 1, rule)
    other, _ = layer_and_gradients(3, 1, rule)
    before = other.parameters["weights"].copy()
    one.gradients = other.gradients = gradients[0]
    Sgd([one, other], 0.5).step(0.25, {1: 0.5})
    assert rule.products == 8
    np.testing.assert_allclose(before - other.parameters["weights"],
                               0.5 * gradients[0]["weights"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Adam, lambda parts: Sgd(parts, 0.9)])
def test_goes_on_from_its_state(kind):
    straight, gradients = layer_and_gradients(4, 8, Rule())
    broken, _ = layer_and_gradients(4, 8, Rule())
    first, second = kind([straight]), kind([broken])
    for gradient in gradients:
        straight.gradients = broken.gradients = gradient
        first.step(0.1)
        kept = second.state()
        second = kind([broken])
        second.restore(kept)
        second.step(0.1)
    for name, value in straight.parameters.items():
        np.testing.assert_array_equal(value, broken.parameters[name])
    with pytest.raises(ModelError, match="count of steps"):
        second.restore({})
    with pytest.raises(ModelError, match="of shape"):
        second.restore({"steps": np.array(3)})


def test_schedules():
    rates = [cosine(step, 10, 0.4, 0.2) for step in range(11)]
    assert rates[0] == 0.4 and rates[5] == pytest.approx(0.3) and rates[10] == pytest.approx(0.2)
    assert all(a > b for a, b in zip(rates, rates[1:], strict=False))


@pytest.mark.parametrize("shape", [(7, 3), (64, 1), (4, 5, 6, 7), (100, 120)])
def test_compiled_batch_norm_is_the_plain_one(shape):
    rng = np.random.default_rng(5)
    x = (rng.standard_normal(shape) * 3 - 20).astype(np.float32)
    gradient = rng.standard_normal(shape).astype(np.float32)
    results = []
    for rule in (Rule(), Counting()):
        norm = BatchNorm(rule, shape[-1])
        norm.parameters["scale"] = np.linspace(-1, 2, shape[-1]).astype(np.float32)
        norm.parameters["offset"] = np.linspace(0, 1, shape[-1]).astype(np.float32)
        results.append([norm.forward(x, True), norm.backward(gradient), norm.gradients["scale"],
                        norm.gradients["offset"], norm.buffers["mean"], norm.buffers["variance"],
                        norm.forward(x, False)])
    for compiled, plain in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", ["weights", "bias"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_parameters_that_are_not_finite_name_the_layer(name, value):
    layers = [layer_and_gradients(seed, 1, Rule())[0] for seed in range(2)]
    layers[1].label = "layer 2 (Dense)"
    optimiser = Sgd(layers)
    optimiser.require_finite()
    layers[1].parameters[name].flat[3] = value
    with pytest.raises(TrainingError, match=rf"{name} must be finite.* layer 2 \(Dense\)"):
        optimiser.require_finite()
