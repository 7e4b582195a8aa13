"""Weights that others have trained and published: where each file is, what it is, and what its licence asks.

Never needs torch: `earmark models` and whoever looks for a tagger by name read this table.
Checksums without a publisher's page behind them were noted by several projects that pin the same file.
"""

from __future__ import annotations

from dataclasses import dataclass

from earmark.errors import ConfigError
from earmark.lookup import did_you_mean


@dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher has it.

    url: None where it cannot be downloaded. n_bytes, sha256: None where nobody says.
    """

    name: str
    url: str | None
    n_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Weights:
    """One network as somebody has trained it.

    name: what it is called here. family: of MODELS. file: with its tensors. labels: with its class names, one a row,
    in the order of its scores. licence: of the weights. citation: of the paper. n_parameters: that training moved.
    sample_rate: Hz. window_seconds, hop_seconds: of the tagger that it becomes. published_map: mean average precision
    on AudioSet's evaluation set, as its authors tell it. verified: whether scores were held against those of the
    original code.
    """

    name: str
    family: str
    file: PublishedFile
    labels: PublishedFile
    licence: str
    homepage: str
    citation: str
    n_classes: int
    n_parameters: int
    sample_rate: int
    window_seconds: float
    hop_seconds: float
    published_map: float
    verified: bool = False

    @property
    def n_bytes(self) -> int:
        """Length of the file; where nobody says, that of its parameters as float32."""
        return self.file.n_bytes or 4 * self.n_parameters


AUDIOSET_LABELS = PublishedFile(
    "class_labels_indices.csv",
    "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/class_labels_indices.csv",
    n_bytes=14_675,
    sha256="cdd1049833c4b86127c2773ac0d14a2754b6a6d0d1798002ed5c66e699708429",
)
YAMNET_LABELS = PublishedFile(
    "yamnet_class_map.csv",
    "https://raw.githubusercontent.com/tensorflow/models/dfffd623b6be8d1d9744b8e261fbac370d17c46d"
    "/research/audioset/yamnet/yamnet_class_map.csv",
    n_bytes=14_096,
    sha256="cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
)


def _efficientat(
    name: str,
    map_permille: int,
    n_parameters: int,
    *,
    n_bytes: int | None = None,
    sha256: str | None = None,
    verified: bool = False,
) -> Weights:
    """A release of EfficientAT; its files are named after the precision they reach."""
    file = f"{name}_mAP_{map_permille}.pt"
    url = f"https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/{file}"
    return Weights(
        name=name,
        family="mn",
        file=PublishedFile(file, url, n_bytes, sha256),
        labels=AUDIOSET_LABELS,
        licence="MIT (Florian Schmid)",
        homepage="https://github.com/fschmid56/EfficientAT",
        citation=(
            "F. Schmid, K. Koutini, G. Widmer. Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge "
            "Distillation. Proc. ICASSP 2023. arXiv:2211.04772"
        ),
        n_classes=527,
        n_parameters=n_parameters,
        sample_rate=32_000,
        window_seconds=10.0,
        hop_seconds=5.0,
        published_map=map_permille / 1000,
        verified=verified,
    )


def _panns(name: str, file: PublishedFile, n_parameters: int, published_map: float) -> Weights:
    """A network of PANNs."""
    return Weights(
        name=name,
        family=name,
        file=file,
        labels=AUDIOSET_LABELS,
        licence="CC BY 4.0 (Qiuqiang Kong et al.)",
        homepage="https://zenodo.org/records/3987831",
        citation=(
            "Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley. PANNs: Large-Scale Pretrained Audio Neural "
            "Networks for Audio Pattern Recognition. IEEE/ACM TASLP 28, 2020. arXiv:1912.10211"
        ),
        n_classes=527,
        n_parameters=n_parameters,
        sample_rate=32_000,
        window_seconds=10.0,
        hop_seconds=5.0,
        published_map=published_map,
    )


YAMNET = Weights(
    name="yamnet",
    family="mobilenet_v1",
    # Rebuilt from Google's int8 file, batch norm folded; layers 11, 12 and the classifier are exact. Nobody serves it.
    file=PublishedFile(
        "yamnet_dequant_bnfolded.safetensors",
        None,
        n_bytes=14_923_412,
        sha256="bcd803265de1ce2ce26d0934218f961b680db892224dd87ba8f911a45bea63ac",
    ),
    labels=YAMNET_LABELS,
    licence="Apache-2.0 (Google)",
    homepage="https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
    citation="M. Plakal, D. Ellis. YAMNet. TensorFlow Model Garden, 2020",
    n_classes=521,
    n_parameters=3_729_481,
    sample_rate=16_000,
    window_seconds=0.975,  # 96 frames 10 ms apart, the last one 25 ms long
    hop_seconds=0.48,
    published_map=0.306,
    verified=True,
)

WEIGHTS: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        _efficientat(
            "mn04_as",
            432,
            983_599,
            n_bytes=4_066_513,
            sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
            verified=True,
        ),
        _efficientat(
            "mn10_as",
            471,
            4_876_831,
            n_bytes=19_708_753,
            sha256="0bd7dc2443af498c289a2e739f02ebb515d6aa3fd3ab9db539c86123ae368a4e",
        ),
        _efficientat("mn20_as", 478, 17_909_287),
        _efficientat("mn40_as", 484, 68_427_303),
        _efficientat("mn10_as_hop_15", 463, 4_876_831),
        _efficientat("mn10_as_hop_20", 456, 4_876_831),
        _efficientat("mn10_as_hop_25", 447, 4_876_831),
        YAMNET,
        _panns(
            "cnn14",
            PublishedFile(
                "Cnn14_mAP=0.431.pth",
                "https://zenodo.org/records/3987831/files/Cnn14_mAP%3D0.431.pth?download=1",
                n_bytes=327_428_481,
                sha256="0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
            ),
            80_753_615,
            0.431,
        ),
        _panns(
            "mobilenet_v2",
            PublishedFile(
                "MobileNetV2_mAP=0.383.pth",
                "https://zenodo.org/records/3987831/files/MobileNetV2_mAP%3D0.383.pth?download=1",
            ),
            4_075_343,
            0.383,
        ),
    )
}


def pretrained_names() -> list[str]:
    """The names of WEIGHTS, in its order."""
    return list(WEIGHTS)


def find_weights(name: str) -> Weights:
    """The weights of a name.

    Raises:
        ConfigError: there are none of that name.

    >>> find_weights("mn04_as").n_classes
    527
    """
    if name not in WEIGHTS:
        raise ConfigError(
            f"'{name}' is not a pretrained network{did_you_mean(name, WEIGHTS)}. `earmark models` lists them."
        )
    return WEIGHTS[name]
