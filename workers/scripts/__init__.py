"""Scripts and expressions that an installation brings along, evaluated where they can harm nobody."""
