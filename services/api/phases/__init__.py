"""The counts of the phases: live, of a past moment, and as a stream; and the values that their filters take."""
