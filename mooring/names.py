"""Names that outlive a process: labels, annotations, queues, tasks. Changing one is a migration."""

from __future__ import annotations

from typing import Final

# --- on objects -------------------------------------------------------------------------------
FIELD_MANAGER: Final = "mooring"
ACTION_MANAGER: Final = "mooring-action"  # of what actions set: a sync neither takes that away nor owns it
# KEP-3659: https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune
APPLYSET_PART_OF: Final = "applyset.kubernetes.io/part-of"
APPLYSET_ID: Final = "applyset.kubernetes.io/id"
APPLYSET_TOOLING: Final = "applyset.kubernetes.io/tooling"
APPLYSET_GROUP_KINDS: Final = "applyset.kubernetes.io/contains-group-kinds"
APPLYSET_NAMESPACES: Final = "applyset.kubernetes.io/additional-namespaces"
ID: Final = "mooring.dev/id"
STATE: Final = "mooring.dev/state"
NAMESPACE_OF: Final = "mooring.dev/namespace-of"  # whose managedNamespaceMetadata it has
OPERATION: Final = "mooring.dev/operation"  # a label of hooks: the operation that they are of
HOOK_OF: Final = "mooring.dev/hook-of"  # a label of hooks: the ApplySet of their app, without being in it
HOOKS: Final = "mooring.dev/hooks"  # on inventories: where hooks of the app have been

ARGO_GROUP: Final = "argoproj.io"
ARGO_VERSION: Final = "v1alpha1"
ARGO: Final = "argocd.argoproj.io"
OURS: Final = "mooring.dev"
TRACKING_ID: Final = "argocd.argoproj.io/tracking-id"
TRACKING_LABEL: Final = "app.kubernetes.io/instance"
ARGO_MANAGER: Final = "argocd-controller"
REFRESH: Final = "argocd.argoproj.io/refresh"
SYNC_OPTIONS: Final = "argocd.argoproj.io/sync-options"
COMPARE_OPTIONS: Final = "argocd.argoproj.io/compare-options"
DELETION_APPROVED: Final = "argocd.argoproj.io/deletion-approved"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

# --- queues and tasks -------------------------------------------------------------------------
# The web tier may write to `intake` alone, and workers take nothing but DELIVER from it.
INTAKE: Final = "intake"
DEPLOY: Final = "deploy"
RECONCILE: Final = "reconcile"
CONTROL: Final = "control"
SLOW: Final = "slow"  # fetches that have outlasted the patience of the processes that deploy

TASK_DELIVER: Final = "mooring.deliver"  # (delivery id): which apps does this push concern?
TASK_TURN: Final = "mooring.turn"  # (turn): work on what is wanted of it, if anything
TASK_PUSH: Final = "mooring.push"  # (repository, revision): fetch, sync what it touches
TASK_SYNC: Final = "mooring.sync"  # (app): fetch and look at one app, sync it where it may be
TASK_MOVED: Final = "mooring.moved"  # (turn): write a push's commit on the apps for which it changes nothing
TASK_ACTION: Final = "mooring.action"  # (app, action, kind, …): run an action on objects of one app
TASK_RECONCILE: Final = "mooring.reconcile"  # (app or "", why): compare with the cluster, heal where allowed
TASK_TICK: Final = "mooring.tick"  # beat: due steps, lost deliveries, orphaned work
TASK_POLL: Final = "mooring.poll"  # (which): beat: ask hosts for pushes whose webhook was lost
DUE: Final = "due"  # which: only those whose time has come
TASK_CLUSTER: Final = "mooring.cluster"  # a due step: ask a cluster that was away, wake its applications
TASK_TREE: Final = "mooring.tree"  # (app): record its tree for those who ask the web tier
TASK_MAINTAIN: Final = "mooring.maintain"  # beat: pack the Git mirrors, drop what nobody can go back to
TASK_WATCH: Final = "mooring.watch"  # beat: operations and refreshes asked for on the objects
SENT_AT: Final = "sent_at"  # a header of each task: seconds since the epoch
LONGEST_TASK_S: Final = 600  # seconds that a task may take; then its process is ended

# In Redis, held by the one that acts.
BEAT_LEASE: Final = "mooring:lease:beat"
OBSERVER_LEASE: Final = "mooring:lease:observer"
WATCHED: Final = "mooring:watched"  # while it is there, beat need not look at all Applications
