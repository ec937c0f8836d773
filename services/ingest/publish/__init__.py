"""Publishes touchpoints and rejected events to Kafka, acknowledged by all in-sync replicas.

Receives encoded records, returns a `Delivery` that calls back once Kafka has them. batcher.py groups the records of
many requests into record batches, producer.py keeps the connection, rejected.py makes the records of rejected events.
"""
