"""What the kept sums say: rates with their intervals, curves of time, funnels and flows. Pure: no I/O, no clock."""
