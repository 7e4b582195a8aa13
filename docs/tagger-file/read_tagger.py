"""Read a tagger (a file, or a folder NAME.tagger/) and tag a mono 16-bit WAV of its sample rate, without Earmark.

python read_tagger.py NAME.tagger.onnx SOUND.wav
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime


def calibrate(scores, calibration, multi_label):
    if calibration is None:
        return scores
    s = np.clip(scores, 1e-7, 1 - 1e-7)
    if calibration["kind"] == "platt":
        logits = np.array(calibration["scale"]) * np.log(s / (1 - s)) + calibration["bias"]
    elif multi_label:
        logits = np.log(s / (1 - s)) / calibration["temperature"]
    else:
        powers = s ** (1 / calibration["temperature"])
        return powers / powers.sum()
    return 1 / (1 + np.exp(-logits))


def tags(scores, thresholds, t):
    chosen = range(len(scores)) if t["multi_label"] else [int(np.argmax(scores))]
    limits = [np.float32(np.inf if limit is None else limit) for limit in thresholds]  # None: never named
    return [t["labels"][i] for i in chosen if np.float32(scores[i]) >= limits[i]]


def padded(samples, length, padding):
    if padding == "repeat":
        return np.resize(samples, max(length, len(samples)))
    return np.pad(samples, (0, max(0, length - len(samples))))


def windows(samples, t):
    """What the graph hears: (start, window) each."""
    n, rate, padding = len(samples), t["sample_rate"], t["padding"]
    window, hop = (int(t[name] * rate + 0.5) for name in ("window_seconds", "hop_seconds"))
    over = n - window
    if t["views"] == "full" or (t["views"] == "ends" and over < 0 and padding == "repeat"):
        return [(0, padded(samples, window, padding))]
    if t["views"] == "ends":
        offsets = sorted({0, abs(over) // 2, abs(over)})
        if over < 0:
            return [(0, np.pad(samples, (offset, -over - offset))) for offset in offsets]
        return [(offset, samples[offset : offset + window]) for offset in offsets]
    found = []
    for seconds in t["view_seconds"] if t["views"] == "lengths" else [t["window_seconds"]]:
        length = int(seconds * rate + 0.5)
        starts = list(range(0, n - length + 1, hop)) or [0]
        if starts[-1] < n - length:
            starts.append(n - length)
        found += [(s, padded(samples, length, padding)[s : s + length]) for s in starts]
    return found


def hear(tagger, sound):
    """The metadata of one file; of what it hears: starts in samples, starts and ends in seconds, scores."""
    session = onnxruntime.InferenceSession(str(tagger), providers=["CPUExecutionProvider"])
    t = json.loads(session.get_modelmeta().custom_metadata_map["earmark"])
    if t["format"] != "earmark-tagger" or t["format_version"] > 3:
        raise SystemExit(f"{tagger}: not a tagger of format version 1 to 3")
    with wave.open(str(sound)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
    heard = windows(samples, t)
    batches = [each[None].astype(np.float32) for _, each in heard]
    scores = np.concatenate([session.run(["scores"], {"waveform": one})[0] for one in batches]).astype(float)
    starts = [start for start, _ in heard]
    ends = [min(start + len(each), len(samples)) for start, each in heard]
    return t, starts, np.array(starts) / t["sample_rate"], np.array(ends) / t["sample_rate"], scores


def nearest(points, among):
    apart = np.abs(points[:, None] - among)
    return [min(range(len(among)), key=lambda j, i=i: (apart[i, j], among[j])) for i in range(len(points))]


def on_rows(rows, part):
    """The scores of one member on the rows of another: the mean of the windows that are nearest to each row."""
    middles, its = rows[2] + rows[3], part[2] + part[3]
    row_of, window_of = np.array(nearest(its, middles)), nearest(middles, its)
    own = [part[4][row_of == row] for row in range(len(middles))]
    return np.stack([each.mean(axis=0) if len(each) else part[4][window_of[i]] for i, each in enumerate(own)])


def combine(s, c, multi_label):
    """Scores (rows, members, classes) as one."""
    if c["kind"] == "mean":
        found = (s * np.array(c["weights"])).sum(axis=1)
    elif c["kind"] == "geometric":
        found = np.exp(np.log(np.clip(s, 1e-7, 1)).mean(axis=1))
        found = found if multi_label else found / found.sum(axis=1, keepdims=True)
    elif c["kind"] == "rank":
        found = np.mean([np.interp(s[:, m], table, c["ranks"]) for m, table in enumerate(c["scores"])], axis=0)
    else:
        mean = (s * np.array(c["mean_weights"])).sum(axis=1, keepdims=True)
        added = (np.concatenate([s, mean], axis=1) * np.array(c["weights"])).sum(axis=1)
        found = (np.tanh(added @ np.array(c["layer"]) - 1.6) + 1) / 2
    return np.clip(found, 0, 1)


def read_tagger(tagger, sound):
    tagger = Path(tagger)
    if tagger.is_dir():
        manifest = json.loads((tagger / "manifest.json").read_text(encoding="utf-8"))
        t = manifest["tagger"]
        parts = [hear(tagger / member["file"], sound) for member in manifest["members"]]
        rows = parts[manifest["rows"]]
        together = np.stack([on_rows(rows, part) for part in parts], axis=1)
        starts, scores = rows[1], combine(together, manifest["combination"], t["multi_label"])
    else:
        t, starts, _, _, scores = hear(tagger, sound)
    if t["pool"] == "geometric":
        pooled = np.exp(np.log(np.clip(scores, 1e-7, 1)).mean(axis=0))
    else:
        pooled = scores.max(axis=0) if t["pool"] == "max" else scores.mean(axis=0)
    clip = calibrate(pooled, t["calibration"]["clip"], t["multi_label"])
    return {
        "starts": starts,
        "window_scores": scores.tolist(),
        "window_tags": [tags(row, t["thresholds"]["window"], t) for row in scores],
        "clip_scores": clip.tolist(),
        "clip_tags": tags(clip, t["thresholds"]["clip"], t),
    }


if __name__ == "__main__":
    print(json.dumps(read_tagger(*sys.argv[1:])))
