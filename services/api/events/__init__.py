"""The last events and what became of each, and the events that a model's vocabulary does not know."""
