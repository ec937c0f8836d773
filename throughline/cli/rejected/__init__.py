"""`throughline rejected`: rejected events as their topic has them, and sending them again.

Receives filters, gives tables, JSON and a file of what was rejected; replays each event under the id it had, so that it
counts once however often it is sent. Read `topic.py`, then `scan.py`, then `replay.py`.
"""
