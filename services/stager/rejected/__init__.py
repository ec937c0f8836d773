"""Records of the rejected topic: those that stager itself refuses, and the index that api reads.

Read `index.py` next.
"""
