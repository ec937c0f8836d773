"""Kafka's side of the stager: the consumer group, the loop of rounds, and where each partition stands.

Receives records; guarantees that each is staged once and in order. Read `rounds.py` next: the stager's heart.
"""
