"""What a stager does between batches: lapses, restaging under another model, deletion after the retention cutoff.

Read `schedule.py` next.
"""
