"""`/v1/annotations`: what people write on time axes, and the models that began meanwhile.

Receives a span, guarantees that a workspace has a bounded number, gives them in the order of time. Read `answers.py`.
"""
