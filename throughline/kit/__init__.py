"""Reusable parts without a business word: settings, Kafka clients, metrics, health, errors, clock.

Receives configuration from the environment, gives validated values and clients; imports nothing else of ours.
Read `settings.py` for what can be configured and `metrics.py` for everything that is measured.
"""
