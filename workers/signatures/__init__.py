"""Whose word a commit is: signatures of Git's commits and tags, where a project wants them."""
