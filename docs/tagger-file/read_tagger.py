"""Read a tagger file and tag a mono 16-bit WAV of its sample rate, without Earmark.

python read_tagger.py NAME.tagger.onnx SOUND.wav
"""

import json
import sys
import wave

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
    return [t["labels"][i] for i in chosen if np.float32(scores[i]) >= np.float32(thresholds[i])]


def read_tagger(tagger, sound):
    session = onnxruntime.InferenceSession(str(tagger), providers=["CPUExecutionProvider"])
    t = json.loads(session.get_modelmeta().custom_metadata_map["earmark"])
    if t["format"] != "earmark-tagger" or t["format_version"] > 1:
        raise SystemExit(f"{tagger}: not a tagger of format version 1")
    with wave.open(str(sound)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
    n, window = len(samples), int(t["window_seconds"] * t["sample_rate"] + 0.5)
    hop = int(t["hop_seconds"] * t["sample_rate"] + 0.5)
    starts = list(range(0, n - window + 1, hop)) or [0]
    if starts[-1] < n - window:
        starts.append(n - window)
    if n < window:
        samples = np.resize(samples, window) if t["padding"] == "repeat" else np.pad(samples, (0, window - n))
    windows = np.stack([samples[s : s + window] for s in starts]).astype(np.float32)
    scores = session.run(["scores"], {"waveform": windows})[0].astype(float)
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
