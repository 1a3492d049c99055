"""Health of a Pod: its phase, and why a container of it does not run."""

from __future__ import annotations

from workers.health.fields import Body, condition, mapping, number, objects, text
from workers.health.status import Health, degraded, healthy, progressing, unknown

# For operators that run servers in Pods with restartPolicy Never: their readiness counts.
IGNORE_RESTART_POLICY = "argocd.argoproj.io/ignore-restart-policy"
HOOKS = ("argocd.argoproj.io/hook", "helm.sh/hook")


def assess(body: Body) -> Health:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/"""
    policy = text(body, "spec", "restartPolicy")
    runs_on = policy == "Always" or _ignores_restart_policy(body)
    containers = objects(body, "status", "containerStatuses")
    # A Pod that is to end (a hook) is not called Degraded while it waits: its image may still arrive,
    # and it would run after the sync had been given up.
    stuck = [c for c in containers if _is_stuck(text(c, "state", "waiting", "reason"))] if runs_on else []
    if stuck:
        return degraded(", ".join(text(container, "state", "waiting", "message") for container in stuck))

    message = text(body, "status", "message")
    match text(body, "status", "phase"):
        case "Pending":
            return progressing(message)
        case "Succeeded":
            return healthy(message)
        case "Failed":
            return degraded(message or _why_failed(body))
        case "Running" if runs_on:
            ready = condition(body, "Ready")
            if ready is not None and text(ready, "status") == "True":
                return healthy(message)
            # Not ready, and a container has ended before: it is crashing rather than starting.
            crashed = any(mapping(c, "lastState", "terminated") is not None for c in containers)
            return degraded(message) if crashed else progressing(message)
        case "Running" if policy in ("OnFailure", "Never"):
            return progressing(message)
    return unknown(message)


def _ignores_restart_policy(body: Body) -> bool:
    asked = text(body, "metadata", "annotations", IGNORE_RESTART_POLICY) == "true"
    return asked and not any(text(body, "metadata", "annotations", hook) for hook in HOOKS)


def _is_stuck(reason: str) -> bool:
    """Does a container wait for an error to go away (ErrImagePull, CrashLoopBackOff)?"""
    return reason.startswith("Err") or reason.endswith(("Error", "BackOff"))


def _why_failed(body: Body) -> str:
    containers = objects(body, "status", "initContainerStatuses") + objects(
        body, "status", "containerStatuses"
    )
    return next(filter(None, map(_why_terminated, containers)), "")


def _why_terminated(container: Body) -> str:
    if message := text(container, "state", "terminated", "message"):
        return message
    if text(container, "state", "terminated", "reason") == "OOMKilled":
        return "OOMKilled"
    if code := number(container, "state", "terminated", "exitCode"):
        return f'container "{text(container, "name")}" failed with exit code {code}'
    return ""
