"""The figures of `make bench`: each module measures one thing, from a bed and a scale to rows of the table."""
