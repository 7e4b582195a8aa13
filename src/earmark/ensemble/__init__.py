"""Ensembles: several models' scores as one, judged by scores that none of them, nor their weights, were fitted on."""

# How scores are joined, simple first: name → function (panel, seed) → combination (tagger/combination.py).
ENSEMBLES = {
    "mean": "earmark.ensemble.blend:mean",
    "geometric": "earmark.ensemble.blend:geometric",
    "rank": "earmark.ensemble.blend:rank",
    "greedy": "earmark.ensemble.blend:greedy",
    "weights": "earmark.ensemble.blend:class_weights",
    "stack": "earmark.ensemble.stack:stack",
}
