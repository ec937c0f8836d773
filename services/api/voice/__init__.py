"""What customers say: answers to surveys, ratings, sentiments, and what they share.

Receives a measure and a span of days, guarantees that the parts add up to the whole and that few answers are called
too few, gives scores with intervals. Read `answers.py`, then `queries.py`.
"""
