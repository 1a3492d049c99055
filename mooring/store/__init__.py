"""What Mooring keeps in Redis: the ledger of deliveries, turns, due steps, proofs and read models.

Every key starts with `mooring:`, so that a Redis may be shared and one ACL pattern names a part of it.
"""
