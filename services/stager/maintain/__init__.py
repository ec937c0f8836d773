"""What a stager does between rounds, a piece at a time: histories too long for a round, lapses, restaging, retention,
erasures.

Read `schedule.py` next.
"""
