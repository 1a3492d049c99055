"""Actions on what an app has deployed, as Argo CD has them: built-in ones, and scripts of an installation."""
