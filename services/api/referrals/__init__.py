"""Who brought whom: advocates, the customers who came with their codes, and what became of these.

Receives a span of days, guarantees that each customer is brought by one advocate at most and that nobody brings itself,
gives rates with intervals. Read `answers.py`, then `queries.py`.
"""
