"""Runs the tools that render: a hostile repository speaks through them, so each is a confined child."""
