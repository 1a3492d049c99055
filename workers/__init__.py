"""The engine: the only code that touches Git, renderers and clusters."""
