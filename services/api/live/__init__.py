"""What keeps answers fresh for many clients at the cost of one: a cache, feeds, and the stream of events."""
