"""What messages do: e-mails, push notifications and SMS from sending to what came of a click.

Receives a span of days, guarantees that customers and cycles are counted once in a row, gives stages, and advances and
orders after a click. Read `answers.py`, then `queries.py`.
"""
