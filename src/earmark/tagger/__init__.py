"""Taggers: one ONNX file each; from recordings to scores and tags. Never needs torch.

docs/tagger-file.md specifies the file and everything that happens around its graph.
"""

from earmark.tagger.embed import EmbeddedClip, Embeddings, collect, embed_files
from earmark.tagger.events import Event, EventRule
from earmark.tagger.metadata import TaggerMetadata
from earmark.tagger.tag_files import TaggedClip, score_files, tag_files
from earmark.tagger.tag_stream import Heard, TagStream
from earmark.tagger.tagger import Clip, Tag, Tagger, load_tagger

__all__ = [
    "Clip",
    "EmbeddedClip",
    "Embeddings",
    "Event",
    "EventRule",
    "Heard",
    "Tag",
    "TagStream",
    "TaggedClip",
    "Tagger",
    "TaggerMetadata",
    "collect",
    "embed_files",
    "load_tagger",
    "score_files",
    "tag_files",
]
