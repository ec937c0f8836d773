"""The way to Kafka: batches of touchpoints and of rejected events, acknowledged by all in-sync replicas.

Receives encoded records; gives a ticket that is done when Kafka has them. Read `batcher.py` next.
"""
