"""What a stager does between batches, a piece at a time: histories too long for a batch, lapses, restaging, retention,
erasures.

Read `schedule.py` next.
"""
