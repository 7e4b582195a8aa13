"""Weights with torchvision's names find their places: in files that are made here, in its exact names and shapes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from earmark.errors import ConfigError, FetchError
from earmark.models import densenet, resnet
from earmark.models.densenet import DenseNet
from earmark.models.frontend import FrontendConfig
from earmark.models.pretrained.imagenet import load_imagenet
from earmark.models.resnet import ResNet
from earmark.models.tagging_net import build

# Parameters as torchvision's documentation tells them, with the classifier and all three colours.
PUBLISHED = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
}
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
DENSE = {"densenet121": (32, 64, (6, 12, 24, 16)), "densenet161": (48, 96, (6, 12, 36, 24))}
CLASSIFIER = {"resnet": "fc", "densenet": "classifier"}

Shapes = dict[str, tuple[int, ...]]


def norm(name: str, n: int) -> Shapes:
    numbers = {f"{name}.{each}": (n,) for each in ("weight", "bias", "running_mean", "running_var")}
    return {**numbers, f"{name}.num_batches_tracked": ()}


def resnet_shapes(name: str) -> Shapes:
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    n_in, deep = 64, name == "resnet50"
    for stage, n_blocks in enumerate(BLOCKS[name], start=1):
        inside = 32 * 2**stage
        out = 4 * inside if deep else inside
        for block in range(n_blocks):
            sizes = [(inside, n_in, 1), (inside, inside, 3), (out, inside, 1)]
            for number, (n_out, n_from, kernel) in enumerate(sizes if deep else [(out, n_in, 3), (out, out, 3)], 1):
                shapes[f"layer{stage}.{block}.conv{number}.weight"] = (n_out, n_from, kernel, kernel)
                shapes |= norm(f"layer{stage}.{block}.bn{number}", n_out)
            if block == 0 and (stage > 1 or deep):
                shapes[f"layer{stage}.0.downsample.0.weight"] = (out, n_in, 1, 1)
                shapes |= norm(f"layer{stage}.0.downsample.1", out)
            n_in = out
    return {**shapes, "fc.weight": (1000, n_in), "fc.bias": (1000,)}


def densenet_shapes(name: str) -> Shapes:
    growth, n, blocks = DENSE[name]
    shapes: Shapes = {"features.conv0.weight": (n, 3, 7, 7), **norm("features.norm0", n)}
    for number, n_layers in enumerate(blocks, start=1):
        for layer in range(1, n_layers + 1):
            where = f"features.denseblock{number}.denselayer{layer}"
            shapes |= norm(f"{where}.norm1", n)
            shapes[f"{where}.conv1.weight"] = (4 * growth, n, 1, 1)
            shapes |= norm(f"{where}.norm2", 4 * growth)
            shapes[f"{where}.conv2.weight"] = (growth, 4 * growth, 3, 3)
            n += growth
        if number < len(blocks):
            shapes |= norm(f"features.transition{number}.norm", n)
            shapes[f"features.transition{number}.conv.weight"] = (n // 2, n, 1, 1)
            n //= 2
    return {**shapes, **norm("features.norm5", n), "classifier.weight": (1000, n), "classifier.bias": (1000,)}


def shapes_of(name: str) -> Shapes:
    return resnet_shapes(name) if name in BLOCKS else densenet_shapes(name)


def network(name: str, **options) -> ResNet | DenseNet:
    family, depth = name.rstrip("0123456789"), int(name.lstrip("resntd"))
    return {"resnet": ResNet, "densenet": DenseNet}[family](32, depth=depth, **options)


def drawn(name: str) -> dict[str, Tensor]:
    """Tensors as training leaves them: kernels that keep the size of what they get, norms near one."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in shapes_of(name).items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(100)
        elif len(shape) == 1:
            about = 1.0 if key.endswith(("running_var", "weight")) else 0.0
            state[key] = about + 0.1 * torch.rand(shape, generator=generator)
        else:
            state[key] = torch.randn(shape, generator=generator) / torch.Size(shape[1:]).numel() ** 0.5
    return state


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_tensor_of_a_file_finds_its_place(name, tmp_path):
    shapes = shapes_of(name)
    trained = {key: shape for key, shape in shapes.items() if not key.endswith(("mean", "var", "tracked"))}
    assert sum(torch.Size(shape).numel() for shape in trained.values()) == PUBLISHED[name]
    one = torch.zeros(())  # which stands for all the numbers of a tensor, also in the file
    torch.save({key: one.expand(shape) for key, shape in shapes.items()}, tmp_path / "weights.pth")
    net = network(name)
    module, stem = (resnet, "conv1.weight") if name in BLOCKS else (densenet, "features.conv0.weight")
    report = load_imagenet(net, tmp_path / "weights.pth", module.KEYS, stem=stem, name=name)
    classifier = CLASSIFIER[name.rstrip("0123456789")]
    assert {f"{classifier}.weight", f"{classifier}.bias"} <= set(report.set_aside)
    assert set(report.matched.values()) | set(report.set_aside) == set(shapes)
    left = {ours for ours in net.state_dict() if not ours.endswith("tracked")} - set(report.matched)
    assert {ours.partition(".")[0] for ours in left} == {"norm"}  # that of mel bands
    colours = 2 * shapes[stem][0] * 49
    of_classifier = sum(torch.Size(shapes[f"{classifier}.{part}"]).numel() for part in ("weight", "bias"))
    assert report.n_parameters == PUBLISHED[name] - colours - of_classifier
    assert "none missing, none left over" in str(report)


def bn(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, mean, var, weight, bias)


def resnet_by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """ResNet-18 from its tensors alone."""
    x = functional.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    x = functional.max_pool2d(bn(state, "bn1", x).relu(), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = bn(state, f"{at}.bn1", functional.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1))
            y = bn(state, f"{at}.bn2", functional.conv2d(y.relu(), state[f"{at}.conv2.weight"], padding=1))
            if f"{at}.downsample.0.weight" in state:
                x = functional.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
                x = bn(state, f"{at}.downsample.1", x)
            x = (x + y).relu()
    return x


def densenet_by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """DenseNet-121 from its tensors alone."""
    x = functional.conv2d(x, state["features.conv0.weight"], stride=2, padding=3)
    x = functional.max_pool2d(bn(state, "features.norm0", x).relu(), 3, 2, 1)
    for number, n_layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, n_layers + 1):
            at = f"features.denseblock{number}.denselayer{layer}"
            y = functional.conv2d(bn(state, f"{at}.norm1", x).relu(), state[f"{at}.conv1.weight"])
            y = functional.conv2d(bn(state, f"{at}.norm2", y).relu(), state[f"{at}.conv2.weight"], padding=1)
            x = torch.cat([x, y], dim=1)
        if number < 4:
            at = f"features.transition{number}"
            x = functional.conv2d(bn(state, f"{at}.norm", x).relu(), state[f"{at}.conv.weight"])
            x = functional.avg_pool2d(x, 2)
    return bn(state, "features.norm5", x).relu()


@pytest.mark.parametrize(
    ("name", "by_hand", "suffix"),
    [("resnet18", resnet_by_hand, ".safetensors"), ("densenet121", densenet_by_hand, ".pth")],
)
def test_a_filled_network_gives_what_its_tensors_give_on_three_equal_colours(
    name: str, by_hand: Callable[[dict[str, Tensor], Tensor], Tensor], suffix: str, tmp_path
):
    state = drawn(name)
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    net = network(name, weights=str(path)).eval()
    net.norm = torch.nn.Identity()
    picture = torch.randn(2, 1, 64, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = net(picture)
        expected = by_hand(state, picture.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_oldest_files_of_densenets_have_dots_in_their_layers_names(tmp_path):
    state = {key: torch.zeros(()).expand(shape) for key, shape in shapes_of("densenet121").items()}
    dotted = {}
    for key, tensor in state.items():
        for kind in ("norm", "conv"):
            for number in "12":
                if ".denselayer" in key:
                    key = key.replace(f".{kind}{number}.", f".{kind}.{number}.")
        if not key.endswith("num_batches_tracked"):
            dotted[key] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in dotted
    torch.save(dotted, tmp_path / "densenet121-a639ec97.pth")
    net = network("densenet121", weights=str(tmp_path / "densenet121-a639ec97.pth"))
    assert not net.blocks.denseblock4.denselayer16.conv2.weight.any()


def test_a_file_of_another_network_is_refused_with_what_it_has_to_be(tmp_path):
    path = tmp_path / "resnet34.pth"
    torch.save({key: torch.zeros(()).expand(shape) for key, shape in shapes_of("resnet34").items()}, path)
    frontend = FrontendConfig(sample_rate=16000, n_mels=32)
    with pytest.raises(
        ConfigError, match=r"resnet18: these are not its weights: layer1\.2\..* is left over; .*; and \d+ more\. "
    ) as refused:
        build("resnet", frontend, 3, {"weights": str(path)})
    assert f"{path} has to be the file of torchvision's resnet18, at width 1." in str(refused.value)
    with pytest.raises(ConfigError, match=r"conv1\.weight is \(64, 1, 7, 7\), expected \(32, 1, 7, 7\)"):
        build("resnet", frontend, 3, {"depth": 34, "width": 0.5, "weights": str(path)})
    net = ResNet(32)
    before = net.stem.conv1.weight.clone()
    with pytest.raises(ConfigError, match="these are not its weights"):
        load_imagenet(net, path, resnet.KEYS, stem="conv1.weight", name="resnet18")
    assert torch.equal(net.stem.conv1.weight, before)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FetchError, match=r"nowhere\.pth: is no file of weights\. Check the path"):
        network("resnet18", weights=str(tmp_path / "nowhere.pth"))
    with pytest.raises(ConfigError, match="model_options of densenet: depth: found 169, expected 121 or 161"):
        network("densenet169")
