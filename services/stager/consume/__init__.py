"""Kafka's side of the stager: the consumer group, one loop for each partition, and where each partition stands.

Receives records; guarantees that each is staged once and in order. Read `group.py` next.
"""
