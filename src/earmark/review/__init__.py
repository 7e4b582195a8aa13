"""Review: which labels look wrong, what to label next, and the desk at which someone decides."""
