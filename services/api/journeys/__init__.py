"""One customer's journey: where the customer stands, every transition with its cause, and the touchpoints."""
