"""Parts that every process needs: settings, logs, metrics, health, ports and their guards,
problem details, Kafka clients, clock.

Receives configuration from the environment, gives validated values and clients; imports nothing else of ours.
Read `settings.py` for what can be configured and `metrics.py` for what is measured.
"""
