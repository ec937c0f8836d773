"""What sums and paths say: rates with intervals, curves of time, funnels, flows, credit. Pure: no I/O, no clock."""
