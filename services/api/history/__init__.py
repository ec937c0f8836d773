"""The history of the counts, step by step."""
