"""The customers in a phase, as a list."""
