"""Hooks: objects that run at their time of a sync, before, beside or after what stays.

`wanted` reads them out of what Git has and names their runs in one operation, `judge` says what is to be done
about a run, `results` how it stands in `status.operationState`, and `runner` does it. None of them is an
entry of the inventory: a hook's object says itself whose it is and of which operation, the inventory only
where hooks have been. By that `left` finds what all operations have left; `leave` lets go of it once the
app is gone.

https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/
"""
