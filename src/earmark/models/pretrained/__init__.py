"""Networks whose weights others trained: how each is built, and which of their numbers belongs where."""
