"""From trained models to tagger files."""
