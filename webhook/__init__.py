"""The web tier: receives pushes and shows what became of them. Holds no cluster or Git credential."""
