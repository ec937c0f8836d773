"""`make chaos`: faults in a running stack under scripted customers, and an exact verdict.

Receives how many faults and a seed, guarantees that the state is compared with a naive replay of what was answered
200, gives a table of what was done and what came of it. Read `run.py` next.
"""
