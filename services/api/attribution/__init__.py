"""What brought the orders: credit by rules and models, the paths before orders, and each order with its own.

Receives a span of days, guarantees that the credit of all values is all orders and their money, whatever the rule and
the dimension, gives rows with links to the orders. Read `answers.py`, then `queries.py`.
"""
