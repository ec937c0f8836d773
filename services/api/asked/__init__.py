"""What statements of several features over facts and transitions are made of: kinds, openings of cycles, customers.

Receives a model's vocabulary and a filter of customers, guarantees that they mean there what they mean when folding and
counting, gives parts of statements. Read `queries.py`.
"""
