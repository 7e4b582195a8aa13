"""Classifiers on features: cheap models that every network is held against, and heads of pretrained networks."""

from __future__ import annotations

BASELINE = "forest"  # is trained first, and networks are held against it
PLAIN_HEAD = "logistic"  # on summary features: what heads on a backbone are held against, as cheap as they
BASELINES = {
    "attention": "earmark.baselines.sequence:fit_attention",
    "boosting": "earmark.baselines.boosting:fit_boosting",
    "choice": "earmark.baselines.choice:fit_choice",
    "forest": "earmark.baselines.trees:fit_forest",
    "gru": "earmark.baselines.sequence:fit_gru",
    "knn": "earmark.baselines.nearest:fit_knn",
    "logistic": "earmark.baselines.linear:fit_logistic",
    "logistic_l1": "earmark.baselines.linear:fit_logistic_l1",
    "mean_pool": "earmark.baselines.sequence:fit_mean_pool",
    "mlp": "earmark.baselines.mlp:fit_mlp",
    "prior": "earmark.baselines.linear:fit_prior",
    "svm": "earmark.baselines.linear:fit_svm",
    "tree": "earmark.baselines.trees:fit_tree",
}
SEQUENCE_HEADS = ("mean_pool", "attention", "gru")  # of them, those that start from the patches of a backbone
TITLES = {
    "attention": "attention over the patches",
    "boosting": "boosted trees",
    "choice": "the classifier that was best by inner folds",
    "forest": "a random forest",
    "gru": "a recurrent network over the patches",
    "knn": "the nearest neighbours",
    "logistic": "a logistic regression",
    "logistic_l1": "a logistic regression with few features",
    "mean_pool": "a linear layer on the mean of the patches",
    "mlp": "a small neural network",
    "prior": "the shares of the labels",
    "svm": "a linear support vector machine",
    "tree": "a decision tree",
}
