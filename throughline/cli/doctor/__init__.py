"""`throughline doctor`: whether everything that Throughline needs is there and well, and what to do where it is not.

`facts.py` looks and judges nothing; `judge.py` judges what was seen, without I/O or clock; `command.py` prints. Read
`judge.py` first.
"""
