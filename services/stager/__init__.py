"""Stager: consumes touchpoints from Kafka and keeps every customer's journey and the phase counts in PostgreSQL.

Receives protobuf records; guarantees that each has its effect exactly once, whatever crashes; gives what api reads.
Read `main.py`, then `consume/partition.py` (one partition's loop) and `stage/transaction.py` (the transaction).
"""
