"""Sound that is there more than once: the same bytes, or the same recording in another shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from earmark.data.check.clips import CheckedClip
from earmark.data.check.problems import Finding
from earmark.data.matches import LIKELY, Match, find_matches

MOSTLY_SHARED = 0.5  # of the shorter clip: from there on both should share a label


def identical(clips: Sequence[CheckedClip]) -> Iterator[Finding]:
    """Files with the same bytes: each after the first of its kind, those with a row coming first."""
    by_digest: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, clip in enumerate(clips):
        if clip.whole.digest:
            by_digest[clip.whole.digest][clip.path].append(position)
    for files in by_digest.values():
        (original, first), *copies = files.items()
        for path, positions in copies:
            yield Finding(path, "duplicate_content", f"the same bytes as {original}", positions, first)
            copy, kept = clips[positions[0]], clips[first[0]]
            same = f"{original} has the same bytes and is labelled {_words(kept)}"
            if is_merged(copy, kept):
                detail = f"in the folder '{_folder(copy)}', but {same}: the folders of its copies"
                yield Finding(path, "conflicting_labels", detail, positions, first)
            elif copy.labels is not None and _said(clips, first) != _said(clips, positions):
                yield Finding(path, "conflicting_labels", f"labelled {_words(copy)}, but {same}", positions, first)


def is_merged(copy: CheckedClip, original: CheckedClip) -> bool:
    """Whether a file without a row is a copy whose class folder has become a label of the original."""
    labels = original.labels or ()
    return copy.labels is None and len(labels) > 1 and _folder(copy) in labels


def match_clips(clips: Sequence[CheckedClip]) -> list[Match]:
    """Clips that share a recording, or are only LIKELY to: positions in `clips`.

    Those of one file and copies of the same bytes are left out.
    """
    known: dict[str, str] = {}
    fingerprints = []
    for clip in clips:
        original = known.setdefault(clip.whole.digest, clip.path)
        fingerprints.append(clip.heard.fingerprint if original == clip.path else None)
    matches = find_matches(fingerprints, LIKELY)
    return [match for match in matches if clips[match.first].file != clips[match.second].file]


def alike(clips: Sequence[CheckedClip], matches: Sequence[Match]) -> Iterator[Finding]:
    """Clips that are like an earlier one, where no group says so already."""
    by_second = defaultdict(list)
    for match in matches:
        if clips[match.first].group != clips[match.second].group:
            by_second[match.second].append(match)
    for second, found in sorted(by_second.items()):
        best = max(found, key=lambda match: match.score)
        clip, others = clips[second], [match.first for match in found]
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield Finding(
            clip.path, "near_duplicate", f"{clip.region}{_relation(best, clips[best.first])}{more}", [second], others
        )
    for match in matches:
        first, second = clips[match.first], clips[match.second]
        # What they share may be the sound of a label that both have, and the rest belong to the other sounds.
        if not first.labels or not second.labels or set(first.labels) & set(second.labels):
            continue
        if match.overlap_seconds >= MOSTLY_SHARED * min(_seconds(first), _seconds(second)):
            like = f"{_name(first)} is like it and is labelled {_words(first)}"
            detail = f"{second.region}labelled {_words(second)}, but {like}"
            yield Finding(second.path, "conflicting_labels", detail, [match.second], [match.first])


def _relation(match: Match, first: CheckedClip) -> str:
    """How a clip is like an earlier one."""
    text = f"like {_name(first)} (likeness {match.score:.2f}, {match.overlap_seconds:.1f} s in common"
    if abs(match.offset_seconds) >= 0.05:
        when = "later" if match.offset_seconds > 0 else "earlier"
        text += f", begins {abs(match.offset_seconds):.1f} s {when}"
    return f"{text})"


def _folder(clip: CheckedClip) -> str:
    return clip.path.partition("/")[0]


def _name(clip: CheckedClip) -> str:
    """A clip in the words of a detail."""
    return f"{clip.path} {clip.region}".removesuffix(": ").strip()


def _said(clips: Sequence[CheckedClip], positions: Sequence[int]) -> set[tuple]:
    """What the rows of a file say about it."""
    return {(clips[p].start, clips[p].end, frozenset(clips[p].labels or ())) for p in positions}


def _words(clip: CheckedClip) -> str:
    """The labels of a clip."""
    return ", ".join(f"'{label}'" for label in sorted(clip.labels or ())) or "nothing"


def _seconds(clip: CheckedClip) -> float:
    return clip.heard.statistics.seconds if clip.heard.statistics else 0.0
