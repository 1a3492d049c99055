"""`Application.spec` and `Application.operation`, field by field as Argo CD 3 defines them.

https://github.com/argoproj/argo-cd/blob/master/pkg/apis/application/v1alpha1/types.go
"""

from __future__ import annotations

from pydantic import Field

from mooring.model.part import Bool, FreeForm, Int, IntOrString, Part


class HelmParameter(Part):
    name: str = ""
    value: str = ""
    force_string: Bool = False


class HelmFileParameter(Part):
    name: str = ""
    path: str = ""


class Helm(Part):
    """Options of a Helm chart."""

    value_files: tuple[str, ...] = ()
    parameters: tuple[HelmParameter, ...] = ()
    release_name: str = ""
    values: str = ""
    file_parameters: tuple[HelmFileParameter, ...] = ()
    version: str = ""
    pass_credentials: Bool = False
    ignore_missing_value_files: Bool = False
    skip_crds: Bool = False
    values_object: FreeForm | None = None
    namespace: str = ""
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    skip_tests: Bool = False
    skip_schema_validation: Bool = False


class KustomizeReplica(Part):
    name: str
    count: IntOrString


class KustomizeSelector(Part):
    group: str = ""
    version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    annotation_selector: str = ""
    label_selector: str = ""


class KustomizePatch(Part):
    path: str = ""
    patch: str = ""
    target: KustomizeSelector | None = None
    options: dict[str, Bool] = Field(default_factory=dict)


class Kustomize(Part):
    """Options of a Kustomize directory."""

    name_prefix: str = ""
    name_suffix: str = ""
    images: tuple[str, ...] = ()
    common_labels: dict[str, str] = Field(default_factory=dict)
    version: str = ""
    common_annotations: dict[str, str] = Field(default_factory=dict)
    force_common_labels: Bool = False
    force_common_annotations: Bool = False
    namespace: str = ""
    common_annotations_envsubst: Bool = False
    replicas: tuple[KustomizeReplica, ...] = ()
    patches: tuple[KustomizePatch, ...] = ()
    components: tuple[str, ...] = ()
    ignore_missing_components: Bool = False
    label_without_selector: Bool = False
    label_include_templates: Bool = False
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()


class JsonnetVar(Part):
    name: str
    value: str
    code: Bool = False


class Jsonnet(Part):
    ext_vars: tuple[JsonnetVar, ...] = ()
    tlas: tuple[JsonnetVar, ...] = ()
    libs: tuple[str, ...] = ()


class Directory(Part):
    """Options of a directory of plain manifests."""

    recurse: Bool = False
    jsonnet: Jsonnet = Jsonnet()
    exclude: str = ""
    include: str = ""


class EnvEntry(Part):
    name: str
    value: str


class PluginParameter(Part):
    name: str = ""
    string: str | None = None
    map: dict[str, str] | None = None
    array: tuple[str, ...] | None = None


class Plugin(Part):
    """Options of a config management plugin."""

    name: str = ""
    env: tuple[EnvEntry, ...] = ()
    parameters: tuple[PluginParameter, ...] = ()


class Source(Part):
    """Where manifests come from: a path of a Git repository, or a chart."""

    repo_url: str
    path: str = ""
    target_revision: str = ""
    helm: Helm | None = None
    kustomize: Kustomize | None = None
    directory: Directory | None = None
    plugin: Plugin | None = None
    chart: str = ""
    ref: str = ""
    name: str = ""


class DrySource(Part):
    repo_url: str
    target_revision: str
    path: str
    helm: Helm | None = None
    kustomize: Kustomize | None = None
    directory: Directory | None = None
    plugin: Plugin | None = None


class SyncSource(Part):
    target_branch: str
    path: str
    repo_url: str = ""


class HydrateTo(Part):
    target_branch: str


class SourceHydrator(Part):
    """Manifests rendered into another branch before they are deployed from there."""

    dry_source: DrySource
    sync_source: SyncSource
    hydrate_to: HydrateTo | None = None


class Destination(Part):
    """The cluster, by the URL of its API server or by name, and the namespace of what names none."""

    server: str = ""
    namespace: str = ""
    name: str = ""


class Automated(Part):
    """What Mooring may do by itself."""

    enabled: Bool | None = None
    prune: Bool = False
    self_heal: Bool = False
    allow_empty: Bool = False


class Backoff(Part):
    """Durations are seconds, or text like `2m` and `1h30m`."""

    duration: str = ""
    factor: Int | None = None
    max_duration: str = ""


class Retry(Part):
    """What is tried again after a failed sync: `limit` times, for ever when negative, never when 0."""

    limit: Int = 0
    backoff: Backoff | None = None
    refresh: Bool = False


class ManagedNamespaceMetadata(Part):
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class SyncPolicy(Part):
    """When and how a sync is done."""

    automated: Automated | None = None
    sync_options: tuple[str, ...] = ()
    retry: Retry | None = None
    managed_namespace_metadata: ManagedNamespaceMetadata | None = None


class IgnoreDifference(Part):
    """Fields of some objects that are left as they are in the cluster."""

    group: str = ""
    kind: str
    name: str = ""
    namespace: str = ""
    json_pointers: tuple[str, ...] = ()
    jq_path_expressions: tuple[str, ...] = ()
    managed_fields_managers: tuple[str, ...] = ()


class Info(Part):
    name: str
    value: str


class ApplicationSpec(Part):
    """What is deployed, from where, to where, and under which rules."""

    source: Source | None = None
    destination: Destination
    project: str
    sync_policy: SyncPolicy | None = None
    ignore_differences: tuple[IgnoreDifference, ...] = ()
    info: tuple[Info, ...] = ()
    revision_history_limit: Int | None = None
    sources: tuple[Source, ...] = ()
    source_hydrator: SourceHydrator | None = None

    @property
    def project_name(self) -> str:
        """The project's name; an empty one means `default`."""
        return self.project or "default"

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """The sources that are deployed, of whichever field names them; empty when none does."""
        if self.source_hydrator:
            dry, synced = self.source_hydrator.dry_source, self.source_hydrator.sync_source
            return (
                Source(
                    repo_url=synced.repo_url or dry.repo_url,
                    path=synced.path,
                    target_revision=synced.target_branch,
                ),
            )
        return self.sources or ((self.source,) if self.source else ())

    @property
    def automated(self) -> Automated | None:
        """The rules of automated syncs, or None when there are to be none."""
        rules = self.sync_policy and self.sync_policy.automated
        return rules if rules and rules.enabled is not False else None

    @property
    def sync_options(self) -> tuple[str, ...]:
        """The sync options of the whole application, `Name=value` each."""
        return self.sync_policy.sync_options if self.sync_policy else ()

    @property
    def history_limit(self) -> int:
        """How many entries `status.history` keeps."""
        return 10 if self.revision_history_limit is None else max(0, self.revision_history_limit)


class ApplyStrategy(Part):
    force: Bool = False


class SyncStrategy(Part):
    """`apply` leaves hooks out, `hook` (the default) runs them."""

    apply: ApplyStrategy | None = None
    hook: ApplyStrategy | None = None


class OperationResource(Part):
    group: str = ""
    kind: str
    name: str
    namespace: str = ""


class SyncOperation(Part):
    """A sync that somebody asked for."""

    revision: str = ""
    prune: Bool = False
    dry_run: Bool = False
    sync_strategy: SyncStrategy | None = None
    resources: tuple[OperationResource, ...] = ()
    source: Source | None = None
    manifests: tuple[str, ...] = ()
    sync_options: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    revisions: tuple[str, ...] = ()
    self_heal_attempts_count: Int = 0

    @property
    def forced(self) -> bool:
        """Whether its strategy has what cannot be changed deleted and created anew."""
        strategy = self.sync_strategy or SyncStrategy()
        return any(way is not None and way.force for way in (strategy.apply, strategy.hook))


class Initiator(Part):
    username: str = ""
    automated: Bool = False


class Operation(Part):
    """An operation asked for or running."""

    sync: SyncOperation | None = None
    initiated_by: Initiator = Initiator()
    info: tuple[Info, ...] = ()
    retry: Retry = Retry()
