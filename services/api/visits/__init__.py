"""Visits of customers, cut out of their touchpoints when asked.

Receives which kinds of touchpoints make a visit one that counts, guarantees that one naive reader of the facts would
cut the same visits, gives them counted or as a list. Read `queries.py`.
"""
