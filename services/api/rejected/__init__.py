"""The rejected events with their reasons, and how many there were."""
