"""Fields that an Application leaves to others, by `spec.ignoreDifferences`: found, left out, left alone."""
