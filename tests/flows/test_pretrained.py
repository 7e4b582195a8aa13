"""Published weights become a tagger file: had or adopted, checked, converted once; and never half."""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earmark.errors import ConfigError, FetchError, TaggerFileError
from earmark.flows import backbones, pretrained
from earmark.flows.pretrained import get
from earmark.flows.run_config import BackboneConfig
from earmark.models.frontend import FrontendConfig
from earmark.models.pretrained.networks import PRETRAINED, build_pretrained
from earmark.models.pretrained.tensors import read_tensors
from earmark.models.pretrained.weights import WEIGHTS, PublishedFile, find_weights
from earmark.models.tagging_net import build
from earmark.tagger import load_tagger
from earmark.tagger.home import converted, weights_folder

SHARED = Path(__file__).parents[3] / "shared" / "data" / "weights"
FRONTEND = FrontendConfig(sample_rate=8000, n_fft=256, hop_length=80, n_mels=16)
SMALL = {"channels": "4,8,16,16"}
LABELS = 'index,mid,display_name\r\n0,/m/1,Dog\r\n1,/m/2,"Bell, church"\r\n2,/m/3,Wind\r\n'


def published(path: Path, name: str | None = None) -> PublishedFile:
    """A file of this machine as if it were served."""
    content = path.read_bytes()
    return PublishedFile(name or path.name, path.as_uri(), len(content), hashlib.sha256(content).hexdigest())


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home folder of the test's own."""
    monkeypatch.setenv("EARMARK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def net():
    """A small network, in place of all that are published."""
    torch.manual_seed(0)
    return build("se_cnn", FRONTEND, n_classes=3, options=SMALL).eval()


@pytest.fixture
def server(tmp_path, net, monkeypatch) -> Path:
    """The folder that the weights of "toy" and its class names are served from."""
    folder = tmp_path / "server"
    folder.mkdir()
    torch.save(net.state_dict(), folder / "toy.pt")
    (folder / "names.csv").write_bytes(LABELS.encode())

    def load(fresh, state, name):
        fresh.load_state_dict(state)
        return f"{name}: {len(state)} tensors"

    monkeypatch.setattr(pretrained, "build_pretrained", lambda name: build("se_cnn", FRONTEND, 3, SMALL))
    monkeypatch.setattr(pretrained, "load_weights", load)
    toy = replace(
        WEIGHTS["yamnet"],
        name="toy",
        file=published(folder / "toy.pt"),
        labels=published(folder / "names.csv"),
        n_classes=3,
        sample_rate=8000,
        window_seconds=0.5,
        hop_seconds=0.25,
    )
    monkeypatch.setitem(WEIGHTS, "toy", toy)
    return folder


def test_a_download_becomes_a_tagger_with_the_networks_scores(server, net, home):
    told = []
    assert get("toy", progress=told.append) == converted("toy") == home / "taggers" / "toy.tagger.onnx"
    tagger = load_tagger("toy")
    windows = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 4000)).astype(np.float32)
    expected = torch.sigmoid(net(torch.from_numpy(windows))).detach().numpy()
    np.testing.assert_allclose(tagger.backend.run(windows)[0], expected, atol=1e-4)
    assert tagger.labels == ("Dog", "Bell, church", "Wind")
    assert files_below(home) == ["taggers/toy.tagger.onnx", "weights/names.csv", "weights/toy.pt"]


def test_the_file_says_where_it_comes_from_and_what_it_owes(server):
    get("toy")
    metadata, weights = load_tagger("toy").metadata, WEIGHTS["toy"]
    assert metadata.multi_label
    assert metadata.trained_on["sha256"] == weights.file.sha256
    assert metadata.trained_on["citation"] == weights.citation
    assert metadata.trained_on["verified"] is True
    assert metadata.thresholds["clip"] == metadata.thresholds["window"] == (pretrained.THRESHOLD,) * 3
    assert metadata.trained_on["thresholds"] == f"{pretrained.THRESHOLD:g} for every class, not fitted"
    assert any(weights.licence in licence for licence in metadata.licences)
    assert metadata.scores == {"AudioSet mAP as published": weights.published_map}


def test_a_tagger_that_is_here_is_kept(server):
    made = get("toy").stat().st_mtime_ns
    shutil.rmtree(server)
    assert get("toy").stat().st_mtime_ns == made


def test_weights_that_are_here_are_not_fetched_again(server):
    get("toy").unlink()
    shutil.rmtree(server)
    assert get("toy").is_file()


def test_weights_that_are_served_nowhere_are_kept_from_the_first_time(server, monkeypatch):
    monkeypatch.setitem(WEIGHTS, "toy", replace(WEIGHTS["toy"], file=replace(WEIGHTS["toy"].file, url=None)))
    get("toy", local=server).unlink()
    assert get("toy").is_file()
    converted("toy").unlink()
    (weights_folder() / "toy.pt").write_bytes(b"cut")
    with pytest.raises(FetchError, match="3 bytes long"):
        get("toy")


def test_given_a_copy_it_is_made_anew(server, net):
    get("toy")
    with torch.no_grad():
        net.head.last.bias.fill_(20.0)
    torch.save(net.state_dict(), server / "toy.pt")
    WEIGHTS["toy"] = replace(WEIGHTS["toy"], file=published(server / "toy.pt"))
    get("toy", local=server / "toy.pt")
    assert load_tagger("toy").backend.run(np.zeros((1, 4000), dtype=np.float32))[0].min() > 0.99


@pytest.mark.parametrize("names", [("toy.pt", "names.csv"), ("downloaded (1).pt", "classes.csv")])
def test_a_folder_is_searched_two_folders_down_by_name_and_by_content(server, tmp_path, monkeypatch, names):
    copies = tmp_path / "copies"
    for source, folder, name in (("toy.pt", "a/b", names[0]), ("names.csv", "labels", names[1])):
        (copies / folder).mkdir(parents=True)
        shutil.move(server / source, copies / folder / name)
    (copies / "a" / "same length").write_bytes(bytes(WEIGHTS["toy"].file.n_bytes))
    before = files_below(copies)
    assert get("toy", local=copies).is_file()
    assert files_below(copies) == before
    assert (weights_folder() / "names.csv").read_bytes() == LABELS.encode()


def test_class_names_beside_the_file_of_weights_are_found_and_others_downloaded(server, tmp_path):
    (tmp_path / "alone").mkdir()
    shutil.copy(server / "toy.pt", tmp_path / "alone" / "mine.pt")
    assert get("toy", local=tmp_path / "alone" / "mine.pt").is_file()
    (weights_folder() / "names.csv").unlink()
    shutil.move(server / "names.csv", tmp_path / "alone" / "names.csv")
    assert get("toy", local=tmp_path / "alone" / "mine.pt").is_file()


def test_another_file_is_refused_and_nothing_is_kept_of_it(server, home, tmp_path):
    content = bytearray((server / "toy.pt").read_bytes())
    content[-1] ^= 1
    (tmp_path / "toy.pt").write_bytes(content)
    with pytest.raises(FetchError, match="the checksum is wrong"):
        get("toy", local=tmp_path / "toy.pt")
    (tmp_path / "toy.pt").write_bytes(content[:-1])
    with pytest.raises(FetchError, match="bytes long"):
        get("toy", local=tmp_path / "toy.pt")
    assert files_below(home) == []


def test_where_nothing_can_be_had_it_says_what_to_bring_and_how(server, tmp_path, monkeypatch):
    with pytest.raises(FetchError, match=r"nowhere: does not exist\. Pass the file of weights, or the folder"):
        get("toy", local=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FetchError, match=r"empty: does not hold toy\.pt \(looked in it and up to 2 folders below\)"):
        get("toy", local=tmp_path / "empty")
    (server / "toy.pt").unlink()
    url = re.escape(WEIGHTS["toy"].file.url)
    with pytest.raises(
        FetchError,
        match=rf"no such file(.|\n)*Or bring {url} and \S+names\.csv from another .*models get toy --from FOLDER",
    ):
        get("toy")
    monkeypatch.setitem(WEIGHTS, "toy", replace(WEIGHTS["toy"], file=replace(WEIGHTS["toy"].file, url=None)))
    with pytest.raises(
        FetchError, match=r"toy: toy\.pt is served nowhere\. Bring a copy.*models get toy --from FOLDER"
    ):
        get("toy")


@pytest.mark.parametrize("error", [ConfigError("left over"), KeyboardInterrupt()])
def test_a_conversion_that_fails_leaves_no_tagger_and_keeps_the_download(server, home, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(pretrained, "load_weights", fail)
    with pytest.raises(type(error)):
        get("toy")
    assert files_below(home) == ["weights/names.csv", "weights/toy.pt"]


def test_a_graph_that_scores_otherwise_is_not_written(server, home, monkeypatch):
    monkeypatch.setattr("earmark.export.graph.TOLERANCE", -1.0)
    with pytest.raises(TaggerFileError, match="scores differ from the model's"):
        get("toy")
    assert not (home / "taggers").exists() or files_below(home / "taggers") == []


def test_tensors_are_read_from_every_form_of_file(tmp_path, net):
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"model": state, "iteration": 600000}, tmp_path / "wrapped.pth")
    save_file(state, tmp_path / "safe.safetensors")
    for name in ("plain.pt", "wrapped.pth", "safe.safetensors"):
        found = read_tensors(tmp_path / name)
        assert set(found) == set(state)
        assert all(torch.equal(found[key], state[key]) for key in state)


class Trap:
    """What a pickle of this runs when it is loaded."""

    def __reduce__(self):
        return exec, ("raise SystemExit('the file has run code')",)


def test_files_that_are_no_weights_are_refused_and_nothing_in_them_runs(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    torch.save({"model": Trap()}, tmp_path / "trap.pt")
    for name, content in {
        "cut.pt": whole[: len(whole) // 2],
        "page.pt": b"<!doctype html>",
        "empty.pt": b"",
        "old.pt": pickle.dumps(Trap(), protocol=2),
        "trap.pt": None,
        "page.safetensors": b"<!doctype html>",
    }.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(FetchError, match=rf"{name}: cannot be read as weights \(.+\)\. Get it again"):
            read_tensors(tmp_path / name)
    for number, content in enumerate(([1, 2], {}, {"a": 1}, {"model": {"a": "b"}})):
        torch.save(content, tmp_path / f"{number}.pt")
        with pytest.raises(FetchError, match="holds something other than named tensors"):
            read_tensors(tmp_path / f"{number}.pt")


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"'mn04' is not a pretrained network \(did you mean 'mn04_as'\?\)"):
        find_weights("mn04")


def test_the_table_and_the_networks_tell_the_same():
    assert list(WEIGHTS) == list(PRETRAINED)
    for name, weights in WEIGHTS.items():
        network = PRETRAINED[name]
        assert weights.name == name
        assert weights.family == network.family
        assert (weights.n_classes, weights.sample_rate) == (network.n_classes, network.frontend.sample_rate)
        with torch.device("meta"):
            net = build_pretrained(name)
        assert weights.n_parameters == sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", WEIGHTS)
def test_an_entry_is_whole(name):
    weights = WEIGHTS[name]
    for file in (weights.file, weights.labels):
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.url is None or urlsplit(file.url).scheme in ("http", "https")
        assert file.url or file.sha256  # what is served nowhere must be known by its content
    assert weights.licence
    assert weights.citation
    assert weights.n_bytes >= 3.9 * weights.n_parameters
    assert 0.2 < weights.published_map < 0.5
    assert weights.file.sha256 or not weights.verified


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published weights are not here")
@pytest.mark.parametrize(("name", "reference"), [("mn04_as", "efficientat"), ("yamnet", "yamnet")])
def test_a_published_network_tags_as_the_original_code_does(name, reference, monkeypatch):
    get(name, local=SHARED)
    tagger = load_tagger(name)
    assert len(tagger.labels) == WEIGHTS[name].n_classes
    recorded = np.load(next((SHARED / reference).glob("reference_io_*.npz")))
    n_compared = 0
    for key in [key for key in recorded.files if "/wave" in key and len(recorded[key]) == tagger.window_samples]:
        logits = recorded[key.replace("/wave32k", "/logits").replace("/wave16k", "/logits_fp32")]
        scores, _ = tagger.backend.run(recorded[key][None].astype(np.float32))
        np.testing.assert_allclose(scores[0], 0.5 + 0.5 * np.tanh(logits / 2), atol=1e-3)
        n_compared += 1
    assert n_compared >= 3
    speech = tagger.tag(SHARED / "efficientat" / "sample_speech.wav")
    assert speech[0].label == "Speech"
    typing = {tag.label for tag in tagger.tag(SHARED / "efficientat" / "sample_typing.wav")}
    assert typing == {"Typing", "Computer keyboard"}
    monkeypatch.setattr(backbones.Backbone, "_exported", lambda *_: pytest.fail("exported again"))
    graph = backbones.find_backbone(BackboneConfig(on=name)).graph(tagger.window_samples)  # its depths are in the file
    assert [output.name for output in graph.graph.output] == ["embedding", "sequence"]
