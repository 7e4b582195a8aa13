"""Where `hf:` finds a model, what it says of it, and what it refuses. The hub is a folder of this machine here."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from earmark.errors import ConfigError, FetchError, MissingExtraError
from earmark.models.huggingface import source as hub_source
from earmark.models.huggingface.networks import build_hf
from earmark.models.huggingface.source import describe, locate, weight_files

transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")
huggingface_hub = pytest.importorskip("huggingface_hub")

README = "---\nlanguage: en\nlicense: apache-2.0\ntags:\n- speech\n---\n\n# Heading\nlicense: mit\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A small wav2vec 2.0 as transformers saves one."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("hub") / "model"
    settings = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    transformers.Wav2Vec2Model(settings).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


class Hub:
    """In place of `snapshot_download`: serves a folder, patterns and all, into a cache laid out as the hub's own."""

    def __init__(self, served: Path, cache: Path):
        self.served, self.cache, self.asked = served, cache, []
        self.reachable = True

    def __call__(self, name: str, *, allow_patterns: list[str], local_files_only: bool = False) -> str:
        self.asked.append((name, local_files_only))
        folder = self.cache / name.replace("/", "--") / "snapshots" / "0a1b2c"
        if not local_files_only:
            if not self.reachable:
                raise huggingface_hub.errors.LocalEntryNotFoundError("no network\nand more")
            folder.mkdir(parents=True, exist_ok=True)
            for path in {path for pattern in allow_patterns for path in self.served.glob(pattern)}:
                shutil.copy(path, folder / path.name)
        elif not folder.is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("not in the cache")
        return str(folder)


@pytest.fixture
def hub(folder, tmp_path, monkeypatch) -> Hub:
    hub = Hub(folder, tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    return hub


def change(path: Path, **values) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: v for key, v in {**document, **values}.items() if v is not None}), "utf-8")


def test_a_folder_tells_rate_family_and_licence_without_loading_torch(saved):
    code = f"""
import sys
from earmark.models.huggingface.source import describe
found = describe("hf:{saved}")
print(found.family, found.sample_rate, found.licence, repr(found.revision), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["wav2vec2", "16000", "apache-2.0", "''", "False"], done.stderr


def test_a_folder_is_remembered_by_its_whole_path(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert describe("hf:model").source == describe("hf:./model").source == f"hf:{folder}"


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("# nothing\nlicense: mit\n", ""),
        ("---\nlanguage: en\n---\n# Other words\nlicense: mit\n---\n", ""),
        ("---\ntags:\n- sound\nlicense: 'cc-by-nc-4.0' # a remark\n---\n", "cc-by-nc-4.0"),
        (None, ""),
    ],
)
def test_a_licence_is_what_the_head_of_the_readme_says(folder, readme, licence):
    (folder / "README.md").unlink()
    if readme is not None:
        (folder / "README.md").write_text(readme, encoding="utf-8")
    assert describe(f"hf:{folder}").licence == licence


def test_newer_files_nest_what_is_heard_and_it_is_found(folder):
    heard = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": heard}), "utf-8")
    assert describe(f"hf:{folder}").sample_rate == 16000
    assert build_hf(f"hf:{folder}", 2).frontend.config.standardised is False


def test_a_model_is_downloaded_only_when_asked_for_and_only_once(hub):
    with pytest.raises(
        FetchError, match=r"hf:some/model: is not on this machine yet\. `earmark models get hf:some/model"
    ):
        locate("hf:some/model")
    assert all(local for _, local in hub.asked)
    found = describe("hf:some/model", download=True)
    assert (found.revision, found.licence) == ("0a1b2c", "apache-2.0")
    assert [path.name for path in weight_files(found.folder)] == ["model.safetensors"]
    hub.reachable = False
    assert locate("hf:some/model") == locate("hf:some/model", download=True) == found.folder
    assert build_hf("hf:some/model", 3)(torch.zeros(1, 800)).shape == (1, 3)


def test_a_download_that_was_broken_off_between_two_files_goes_on(hub, folder):
    model = transformers.Wav2Vec2Model.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    first, *others = weight_files(folder)
    assert others
    kept = locate("hf:some/model", download=True)
    (kept / first.name).unlink()
    with pytest.raises(FetchError, match="is not on this machine yet"):
        locate("hf:some/model")
    assert (locate("hf:some/model", download=True) / first.name).is_file()
    assert build_hf("hf:some/model", 2)(torch.zeros(1, 800)).isfinite().all()


def test_pickled_weights_are_taken_where_there_are_no_others(hub, folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    assert [path.name for path in weight_files(locate("hf:some/model", download=True))] == ["model.safetensors"]
    (folder / "model.safetensors").unlink()
    assert [path.name for path in weight_files(locate("hf:other/model", download=True))] == ["pytorch_model.bin"]
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(FetchError, match=r"hf:third/model: holds no weights for torch"):
        locate("hf:third/model", download=True)


def test_without_a_network_it_says_what_to_bring_and_how_to_pass_it(hub):
    hub.reachable = False
    expected = (
        r"^hf:some/model: cannot be downloaded \(no network\)\. Where there is a network, `hf download some/model "
        r"--local-dir FOLDER` gets it too: bring FOLDER, and pass hf:FOLDER\.$"
    )
    with pytest.raises(FetchError, match=expected):
        describe("hf:some/model", download=True)


@pytest.mark.parametrize("name", ["", "no/such/folder/here", "/no/such/folder", "../elsewhere", "some model"])
def test_what_is_neither_a_folder_nor_a_name_is_refused(name):
    with pytest.raises(ConfigError, match="is neither a folder nor the name of a model such as hf:facebook"):
        locate(f"hf:{name}")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"the folder holds no config\.json, so no model of transformers"):
        locate(f"hf:{tmp_path}")


def test_a_model_of_another_kind_is_refused_and_the_nearest_named(folder):
    change(folder / "config.json", model_type="wav2vec2-conformer")
    with pytest.raises(ConfigError, match=r"the type 'wav2vec2-conformer', which does not hear a waveform \(did you"):
        describe(f"hf:{folder}")


@pytest.mark.parametrize("spoil", ["sampling_rate", "file"])
def test_a_model_that_does_not_tell_its_rate_is_refused(folder, spoil):
    if spoil == "file":
        (folder / "preprocessor_config.json").unlink()
    else:
        change(folder / "preprocessor_config.json", sampling_rate=None)
    with pytest.raises(ConfigError, match=r"nothing tells at which rate it hears \(no sampling_rate in preprocessor_"):
        describe(f"hf:{folder}")


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_settings_that_are_no_settings_are_refused(folder, content):
    (folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read as JSON|holds a list or a value, expected settings"):
        describe(f"hf:{folder}")


def test_settings_that_make_no_model_are_refused(folder):
    change(folder / "config.json", hidden_size="many")
    with pytest.raises(ConfigError, match="its settings cannot be read"):
        build_hf(f"hf:{folder}", 2)


def test_weights_that_lack_a_part_are_refused_not_drawn_at_random(folder):
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layers.1." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"its file of weights lacks encoder\.layers\.1\..* and \d+ more\. Copy the"):
        build_hf(f"hf:{folder}", 2)


@pytest.mark.parametrize("damage", ["cut", "gone", "shape"])
def test_weights_that_cannot_be_read_are_refused(folder, damage):
    path = folder / "model.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "gone":
        path.unlink()
    else:
        change(folder / "config.json", intermediate_size=48)
    with pytest.raises(ConfigError, match="its weights cannot be read"):
        build_hf(f"hf:{folder}", 2)


class Trap:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_does_not(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with open(folder / "pytorch_model.bin", "wb") as file:
        pickle.dump(Trap(tmp_path / "sprung"), file, protocol=2)
    with pytest.raises(ConfigError, match="its weights cannot be read"):
        build_hf(f"hf:{folder}", 2)
    assert not (tmp_path / "sprung").exists()


def test_older_files_with_a_weight_in_two_factors_are_read(folder):
    """As the published ones are: pickled, under a prefix, the factors of the positions' weights under other names."""
    expected = build_hf(f"hf:{folder}", 2).backbone
    old = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for new, before in (
            ("parametrizations.weight.original0", "weight_g"),
            ("parametrizations.weight.original1", "weight_v"),
        ):
            name = name.replace(new, before)
        old[f"wav2vec2.{name}"] = tensor.half() if name.endswith("projection.bias") else tensor
    assert any(name.endswith("weight_g") for name in old)
    (folder / "model.safetensors").unlink()
    torch.save({**old, "quantizer.codevectors": torch.zeros(3)}, folder / "pytorch_model.bin")
    found = build_hf(f"hf:{folder}", 2).backbone
    assert all(tensor.dtype == torch.float32 for tensor in found.state_dict().values())
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_files_of_two_models_do_not_go_together(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.ASTModel(transformers.ASTConfig(**sizes, max_length=64, num_mel_bins=32)).save_pretrained(tmp_path)
    transformers.ASTFeatureExtractor(max_length=100, num_mel_bins=32).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"gives 32 bands × 100 frames, and its network takes 32 × 64\. Take both"):
        build_hf(f"hf:{tmp_path}", 2)


def test_loading_says_nothing(folder, capfd):
    before = transformers.utils.logging.get_verbosity()
    build_hf(f"hf:{folder}", 2)
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.get_verbosity() == before


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        MissingExtraError, match=r"transformers is needed to use hf: models\. pip install 'earmark\[hf\]'"
    ):
        hub_source.transformers()
