"""Argo CD's own manifests as Mooring reads them: parsed, judged for what we support, and as CRDs."""
