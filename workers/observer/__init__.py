"""The observer: a process of its own that watches, and wakes the steps of applications when they can go on.

Nothing depends on it. What it wakes is due anyway, by the clock; what it sees is judged again by whoever is
woken. So it writes nothing to any cluster, and to kill it costs speed alone.
"""
