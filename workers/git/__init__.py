"""Git as the workers use it: bare mirrors, fetched by commit id, read without a work tree.

Everything that reaches this package from an Application, a push or a repository is hostile until
checked: URLs, revisions, ref names, paths and tree entries.
"""
