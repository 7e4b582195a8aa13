"""Models in the form of Hugging Face's transformers: where one is, what it is, and a TaggingNet of it."""
