"""What several commands need: which database, Kafka and ingest a command works on, its options, what it prints.

Receives options and settings, gives connections, producers and addresses, or ends the command with a sentence that
names the fault and the fix. Read `database.py`, then `output.py`.
"""
