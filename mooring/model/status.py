"""`Application.status` in Argo CD's schema: its CRD prunes whatever is not in here."""

from __future__ import annotations

from typing import Final

from mooring.keys import ObjectKey
from mooring.model.part import Bool, Int, Part, Time
from mooring.model.spec import (
    Destination,
    IgnoreDifference,
    Initiator,
    ManagedNamespaceMetadata,
    Operation,
    Source,
    SourceHydrator,
)


class ComparedTo(Part):
    source: Source | None = None
    destination: Destination
    sources: tuple[Source, ...] = ()
    ignore_differences: tuple[IgnoreDifference, ...] = ()


class SyncStatus(Part):
    """`status` is Synced, OutOfSync or Unknown; `revision` the commit that was compared."""

    status: str
    compared_to: ComparedTo | None = None
    revision: str = ""
    revisions: tuple[str, ...] = ()


class HealthStatus(Part):
    """`status` is Healthy, Progressing, Degraded, Suspended, Missing or Unknown."""

    status: str = ""
    message: str = ""
    last_transition_time: Time = ""


class ResourceStatus(Part):
    """One object of the application, as last compared."""

    group: str = ""
    version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    health: HealthStatus | None = None
    hook: Bool = False
    requires_pruning: Bool = False
    sync_wave: Int = 0
    requires_deletion_confirmation: Bool = False

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.group, self.kind, self.namespace, self.name)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class RevisionHistory(Part):
    """One finished sync; the oldest comes first."""

    id: Int
    deployed_at: Time
    revision: str = ""
    source: Source | None = None
    deploy_started_at: Time = ""
    sources: tuple[Source, ...] = ()
    revisions: tuple[str, ...] = ()
    initiated_by: Initiator = Initiator()


class ResourceResult(Part):
    """What a sync did to one object. `status` is Synced, SyncFailed, Pruned or PruneSkipped."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    status: str = ""
    message: str = ""
    hook_type: str = ""
    hook_phase: str = ""
    sync_phase: str = ""
    images: tuple[str, ...] = ()

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.group, self.kind, self.namespace, self.name)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class SyncResult(Part):
    revision: str
    resources: tuple[ResourceResult, ...] = ()
    source: Source | None = None
    sources: tuple[Source, ...] = ()
    revisions: tuple[str, ...] = ()
    managed_namespace_metadata: ManagedNamespaceMetadata | None = None


TERMINATING: Final = "Terminating"  # somebody asked to end it, and it has not ended yet


class OperationState(Part):
    """The running or the last operation. `phase` is Running, Terminating, Succeeded, Failed or Error."""

    operation: Operation
    phase: str
    started_at: Time
    message: str = ""
    sync_result: SyncResult | None = None
    finished_at: Time = ""
    retry_count: Int = 0


class Condition(Part):
    """Something a person should know."""

    type: str
    message: str
    last_transition_time: Time = ""


class Summary(Part):
    external_urls: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


class SuccessfulHydrateOperation(Part):
    dry_sha: str = ""
    hydrated_sha: str = ""
    source_hydrator: SourceHydrator | None = None


class HydrateOperation(SuccessfulHydrateOperation):
    phase: str
    message: str
    started_at: Time = ""
    finished_at: Time = ""


class SourceHydratorStatus(Part):
    last_successful_operation: SuccessfulHydrateOperation | None = None
    current_operation: HydrateOperation | None = None


class ApplicationStatus(Part):
    """What was observed, and what was done about it."""

    resources: tuple[ResourceStatus, ...] = ()
    sync: SyncStatus | None = None
    health: HealthStatus = HealthStatus()
    history: tuple[RevisionHistory, ...] = ()
    conditions: tuple[Condition, ...] = ()
    reconciled_at: Time = ""
    operation_state: OperationState | None = None
    observed_at: Time = ""
    source_type: str = ""
    summary: Summary = Summary()
    resource_health_source: str = ""
    source_types: tuple[str, ...] = ()
    controller_namespace: str = ""
    source_hydrator: SourceHydratorStatus = SourceHydratorStatus()
