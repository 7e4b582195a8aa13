"""The page of `duplicates.py`: its JSON document as Markdown."""

from __future__ import annotations


def as_markdown(document: dict) -> str:
    where, limits = document["machine"], document["thresholds"]
    lines = [
        "# The same recording found again",
        "",
        "`python benchmarks/duplicates.py PART --data ../shared/data` (planted, real, scale, chromaprint), on",
        f"{where['cpu']}, {where['cores']} cores shared with other work, one thread, Python {where['python']}, after",
        f"commit {where['commit']}. SURE is a score of {limits['sure']}, LIKELY of {limits['likely']}.",
    ]
    for part, page in (("planted", planted_page), ("real", real_page), ("scale", scale_page)):
        if part in document:
            lines += page(document[part], document)
    if {"planted", "scale"} <= set(document):
        lines += precision_page(document)
    return "\n".join(lines) + "\n"


def precision_page(document: dict) -> list[str]:
    """Judged by the correlation of the waveforms, four doubtful pairs by their spectrograms, the drums by file name."""
    copies = sum(row["sure"] for row in document["planted"]["kinds"].values())
    songs = {(name, one, two) for name, _, one, two, _ in document["planted"]["unplanted"]}
    n = len(songs) + sum(one[2] > 0 for one in document["scale"]["between_sounds"])
    return [
        "",
        "## Precision at SURE",
        "",
        f"{n} distinct pairs that nobody planted (ESC-50, instruments, drums) share a recording or its source,",
        f"none is false: above {0.05 ** (1 / n):.2f} with 95 % confidence, so 0.99 is not proven by these alone;",
        f"with the planted copies ({copies:,}, many of one clip) above {0.05 ** (1 / (n + copies)):.4f}. The",
        "natural pairs were seen while the thresholds were chosen; copies planted in other clips chose the rest, but",
        "for the length of the whitening, chosen on 60 clips of all folds. Two pairs (1-76831-B with C, 1-72195-A",
        "with B) repeat the sound of one machine within one source rather than one stretch of time;",
        "4-144083-B-16 5-217186-B-16 shares 0.15 s at most, found slowed down.",
        "Recordings that are one sound at two speeds, or backwards, matched "
        f"{document['scale']['same_sound_other_variant']} times at SURE; these are not judged.",
        "",
        "In ESC-50's given folds these pairs leak: 1-14262-A-37 4-198841-A-37, 2-110011-A-5 5-256452-A-5,",
        "3-151080-A-20 5-151085-A-20 and 4-144083-B-16 5-217186-A-16; at 1.0 × by the exhaustive search alone also",
        "4-175856-A-43 5-180156-B-43.",
    ]


def planted_page(part: dict, document: dict) -> list[str]:
    clips = sum(value["clips"] for value in part["collections"].values())
    found = sum(row["sure"] for row in part["kinds"].values())
    rival = document.get("chromaprint", {"kinds": {}})
    lines = [
        "",
        "## Planted copies",
        "",
        f"Share of copies matched with the original, of {clips} clips ({', '.join(part['collections'])}); copies that",
        f"hold less than 0.25 s of sound are left out. {found:,} pairs found at SURE. What was found besides,",
        f"{len(part['unplanted'])} times over all kinds, is the drum track and the mix of one song: no pair is false.",
    ]
    if rival["kinds"]:
        lines += [
            f"Chromaprint 1.5.1, on {rival['clips']} of these clips: found where more bits agree than in any of the",
            f"{rival['pairs']:,} pairs of different originals ({rival['threshold']:.2f}).",
        ]
    lines += ["", "| copy | SURE | LIKELY | Chromaprint |", "|---|--:|--:|--:|"]
    for kind, row in part["kinds"].items():
        hits, n = rival["kinds"].get(kind, (0, 0))
        shares = [row["sure"] / row["planted"], row["likely"] / row["planted"]]
        cells = [f"{share:.3f}" for share in shares] + [f"{hits / n:.3f}" if n else ""]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def real_page(part: dict, document: dict) -> list[str]:
    lines = []
    for name, each in part.items():
        sure = [one for one in each["found"] if one["score"] >= document["thresholds"]["sure"]]
        heard = [one[3] for one in each["exhaustive_strong"]]
        known = {tuple(one["clips"]) for one in sure}
        missed = [one for one in each["exhaustive_strong"] if tuple(one[:2]) not in known]
        lines += [
            "",
            f"## All matches among the {each['clips']:,} clips of {name}",
            "",
            f"{each['same_source_pairs']} pairs of clips come from one source. An exhaustive search (correlation of",
            f"whitened waveforms over all lags, {each['exhaustive_pairs']:,} pairs of one class) hears shared sound in",
            f"{sum(heard)} of them and in {len(heard) - sum(heard)} pairs of two sources: fragments hardly overlap.",
            f"Found at SURE: {len(sure)} pairs, {sum(one['same_source'] for one in sure)} of one source.",
            f"Extraction {each['extraction_seconds']} s, matching {each['matching_seconds']} s.",
            "Correlation: of whitened waveforms, in the best quarters of a second.",
            "",
            "| clips | class | score | lag, s | shared, s | sources | folds | exhaustive | correlation |",
            "|---|---|--:|--:|--:|---|---|--:|---|",
            *(f"| {' | '.join(cells_of(one))} |" for one in each["found"]),
        ]
        names = [f"{a.removesuffix('.opus')} {b.removesuffix('.opus')} ({value})" for a, b, value, _ in missed]
        lines += ["", "Heard by the exhaustive search alone:", *(f"{text}," for text in names[:-1]), *names[-1:]]
    return lines


def cells_of(one: dict) -> list[str]:
    return [
        " ".join(clip.removesuffix(".opus") for clip in one["clips"]),
        " ".join(one["class"]),
        *(str(one[key]) for key in ("score", "offset_seconds", "overlap_seconds")),
        "one" if one["same_source"] else "two",
        "two" if one["across_folds"] else "one",
        str(one["exhaustive"]),
        " ".join(str(value) for value in one["correlation"]),
    ]


def scale_page(part: dict, document: dict) -> list[str]:
    recall = ", ".join(f"{kind} {hits / n:.2f}" for kind, (hits, n) in part["recall"].items())
    sure = [one for one in part["between_sounds"] if one[2]]
    names = [f"{a.removesuffix('.opus')} {b.removesuffix('.opus')} ({best})" for a, b, _, best in sure]
    of_clip = part["clip_ms"]
    return [
        "",
        f"## {part['recordings']:,} recordings",
        "",
        f"ESC-50 and instruments at 21 speeds, forwards and backwards, and planted copies: {part['hours']:.0f} h.",
        f"Extraction: {part['extraction_ms_per_clip']:.1f} ms a clip in this run; 5 s of decoded sound take at best",
        f"{of_clip['44100']} ms at 44.1 kHz and {of_clip['16000']} ms at 16 kHz.",
        f"Matching: {part['matching_seconds']:.0f} s.",
        f"The fingerprints take {part['gigabytes_of_fingerprints']:.2f} GB,",
        f"the process at most {part['resident_gigabytes_peak']:.1f} GB.",
        f"Recall at SURE among all these: {recall}.",
        f"{sum(one[2] for one in sure)} matches at SURE are between recordings of different sounds: variants of",
        f"{len(sure)} pairs of sounds (best score in brackets):",
        *(f"{text}," for text in names[:-1]),
        f"{names[-1]}.",
    ]
