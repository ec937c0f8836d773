"""The figures of `make bench`: each module measures one thing, on servers, in sizes, and returns rows of the table."""
